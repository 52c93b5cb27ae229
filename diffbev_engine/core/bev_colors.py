"""Labels and predictions as colours; light, so that reports and previews share it."""

import numpy as np

from diffbev_engine.core.classes import CLASS_COLOURS, IGNORE_COLOUR

BACKGROUND_COLOUR = "#ffffff"


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three bytes."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def colourise(classes: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Paint class planes over each other in class order, then what is ignored.

    Args:
        classes: (14, rows, cols) bool.
        ignore: (rows, cols) bool, painted last; None hides nothing.

    Returns:
        (rows, cols, 3) uint8 RGB in the order of the grid: row 0 is nearest to the camera, so flip
        the rows (``[::-1]``) to show the camera at the bottom.
    """
    picture = np.empty((*classes.shape[1:], 3), np.uint8)
    picture[:] = rgb(BACKGROUND_COLOUR)
    for plane, colour in zip(classes, CLASS_COLOURS, strict=True):
        picture[plane] = rgb(colour)
    if ignore is not None:
        picture[ignore] = rgb(IGNORE_COLOUR)
    return picture
