"""Compare the field of view in a label with the paired camera.

A label hides what the camera cannot see: everything outside the field of view that the intrinsics span.  That
field of view is known twice, from ``calib.json`` and from the ignore bits of the label.
"""

from dataclasses import dataclass

import numpy as np
import torch

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.findings.prediction.transforms import AXIS_CHANGES, IDENTITY
from diffbev_engine.prepare.encoding import IGNORE_BIT
from diffbev_engine.prepare.fov import Camera, FieldOfView, field_of_view, visible_cells
from diffbev_engine.prepare.masks import fov_mask

INVERTED = "inverted"


@dataclass(frozen=True)
class View(FieldOfView):
    """What the ignore bits of one label say about its camera, and how well other readings of it fit."""

    separation: dict[str, float]
    """By hypothesis (an axis change, or inverted): share of visible cells inside the field of view minus
    that outside; 1 where label and calibration agree. Of bit 15 where the label has it, else of bit 14."""
    separation_pon: float
    """The same of bit 14, unchanged."""
    visible: float
    """Share of cells that bit 14 shows."""


def view_of(label: np.ndarray, camera: Camera) -> View | None:
    """Compare the ignore bits of a (196, 200) uint16 label with its camera.

    Returns:
        ``None`` where nothing can be said, see `field_of_view`.
    """
    implied = field_of_view(label, camera)
    if implied is None:
        return None
    inside = torch.from_numpy(fov_mask(camera.intrinsics, camera.width, LABEL_GRID))
    visible_pon = torch.from_numpy((label >> IGNORE_BIT & 1) == 0)
    visible = torch.from_numpy(visible_cells(label))
    separation = {change.name: _separation(change.apply(visible), inside) for change in AXIS_CHANGES}
    return View(
        camera=camera,
        fx=implied.fx,
        cx=implied.cx,
        separation={**separation, INVERTED: -separation[IDENTITY]},
        separation_pon=_separation(visible_pon, inside),
        visible=float(visible_pon.float().mean()),
    )


def _separation(visible: torch.Tensor, inside: torch.Tensor) -> float:
    return float(visible[inside].float().mean() - visible[~inside].float().mean())
