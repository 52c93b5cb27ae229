"""Pictures in a terminal, as finely as it can draw them."""

import os
from pathlib import Path

from textual.widget import Widget

_KITTY = ("KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR", "WEZTERM_PANE")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "xterm-sixel")


_CELL_RATIO = 2.0
"""Height of a cell by its width, about the same in every terminal."""


def picture(path: Path, columns: int) -> Widget:
    """The picture in ``path``, ``columns`` wide: kitty's protocol or sixel where known, else half-blocks.

    The terminal is recognised by what it says of itself: asking it takes time, and its answer would
    arrive among the keys.

    Raises:
        OSError, ValueError: the file is missing or no picture.
    """
    from PIL import Image
    from textual_image.widget import HalfcellImage, SixelImage, TGPImage

    with Image.open(path) as opened:
        columns = min(columns, opened.width)
        rows = max(1, round(columns * opened.height / opened.width / _CELL_RATIO))

    term = os.environ.get("TERM", "")
    if "kitty" in term or "ghostty" in term or any(name in os.environ for name in _KITTY):
        kind: type[Widget] = TGPImage
    else:
        kind = SixelImage if term.startswith(_SIXEL_TERMS) else HalfcellImage
    shown = kind(path, classes="picture")  # type: ignore[arg-type]
    shown.styles.width, shown.styles.height = columns, rows
    return shown
