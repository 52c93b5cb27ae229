"""The eight ways in which the axes of a BEV plane can be swapped or flipped."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from diffbev_engine.core.bilingual import Bilingual


@dataclass(frozen=True)
class AxisChange:
    """Rows and columns swapped or not, then rows and columns flipped or not."""

    name: str
    text: Bilingual
    swap: bool = False
    flip_rows: bool = False
    flip_cols: bool = False

    def apply(self, planes: Tensor) -> Tensor:
        """Change bool planes (..., Z, X); a swap is resampled to the same shape, nearest neighbour."""
        rows, cols = planes.shape[-2:]
        if self.swap:
            swapped = planes.transpose(-2, -1).reshape(-1, 1, cols, rows).float()
            planes = functional.interpolate(swapped, (rows, cols)).bool().reshape(planes.shape)
        flipped = [axis for axis, flip in ((-2, self.flip_rows), (-1, self.flip_cols)) if flip]
        return torch.flip(planes, flipped) if flipped else planes


IDENTITY = "identity"
AXIS_CHANGES = (
    AxisChange(IDENTITY, Bilingual("不变", "unchanged")),
    AxisChange("near_far", Bilingual("远近翻转（行）", "near and far flipped (rows)"), flip_rows=True),
    AxisChange("left_right", Bilingual("左右翻转（列）", "left and right flipped (columns)"), flip_cols=True),
    AxisChange("half_turn", Bilingual("旋转 180°", "turned by 180°"), flip_rows=True, flip_cols=True),
    AxisChange("swapped", Bilingual("行列互换（转置）", "rows and columns swapped (transposed)"), swap=True),
    AxisChange("quarter_turn", Bilingual("旋转 90°", "turned by 90°"), swap=True, flip_rows=True),
    AxisChange("quarter_turn_back", Bilingual("旋转-90°", "turned by -90°"), swap=True, flip_cols=True),
    AxisChange(
        "swapped_other",
        Bilingual("沿另一条对角线转置", "transposed along the other diagonal"),
        swap=True,
        flip_rows=True,
        flip_cols=True,
    ),
)
BY_NAME = {change.name: change for change in AXIS_CHANGES}
