"""Where image features and depth bins lie; numpy only, so that data tools can use the same bins.

Frames: pixels u right and v down, integers at pixel centres; camera x right, y down, z forward.
The BEV frame is the camera frame without y (see ``diffbev_engine.core.grid``).

Dimension letters: D depth bins, H W feature rows and columns.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.grid import FEATURE_GRID, BEVGrid

LiftMode = Literal["upstream", "aligned"]
_UPSTREAM_DEPTH_STEP = 1.0  # metres, twice the length of a BEV cell


@dataclass(frozen=True)
class Frustum:
    """Sample points of the lift: feature (h, w) at depth bin d is pixel (u[w], v[h]) at depths[d]."""

    u: np.ndarray
    """(W,) pixel columns."""
    v: np.ndarray
    """(H,) pixel rows."""
    depths: np.ndarray
    """(D,) metres along the optical axis."""

    @property
    def feature_size(self) -> tuple[int, int]:
        """(H, W): rows and columns of the features that are lifted."""
        return len(self.v), len(self.u)


def depth_bins(mode: LiftMode, grid: BEVGrid = FEATURE_GRID) -> np.ndarray:
    """Candidate depths in metres, (D,); depth supervision has to use the same.

    ``upstream``: 1, 2, …, 49, so every second BEV row of half a metre stays empty.
    ``aligned``: the centre of every BEV row, 1.25, 1.75, …, 49.75.
    """
    if mode == "upstream":
        return np.arange(grid.z_min, grid.z_max, _UPSTREAM_DEPTH_STEP)
    return grid.corners_z() + grid.cell / 2


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) rounded up to multiples of ``multiple``."""
    height, width = (-(-length // multiple) * multiple for length in size)
    return height, width


def frustum(
    mode: LiftMode, image_size: tuple[int, int], stride: int, grid: BEVGrid = FEATURE_GRID
) -> Frustum:
    """The sample points for images of ``image_size`` (height, width) and features of ``stride``.

    ``upstream`` reproduces the published LSS neck: the features are cropped, top left, to whole
    strides, and their points are spread evenly from the first to the last pixel.  ``aligned``
    takes the centre of the pixels that a feature covers, on the padded image.

    Raises:
        UsageError: the image is smaller than one stride.
    """
    height, width = image_size if mode == "upstream" else padded_size(image_size, stride)
    rows, cols = height // stride, width // stride
    if rows == 0 or cols == 0:
        raise UsageError(
            f"images of {height}x{width} are smaller than the backbone's stride of {stride} pixels. "
            "Raise data.image_size or choose an earlier model.backbone.out_stage."
        )
    if mode == "upstream":
        u, v = np.linspace(0, width - 1, cols), np.linspace(0, height - 1, rows)
    else:
        u, v = _centres(cols, stride), _centres(rows, stride)
    return Frustum(u=u, v=v, depths=depth_bins(mode, grid))


def _centres(count: int, stride: int) -> np.ndarray:
    return (np.arange(count) + 0.5) * stride - 0.5
