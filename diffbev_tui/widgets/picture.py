"""Pictures in a terminal, as finely as it can draw them."""

import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widget import Widget

from diffbev_tui.core.gallery import CELL_RATIO

if TYPE_CHECKING:
    from PIL.Image import Image

_KITTY = ("KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR", "WEZTERM_PANE")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "xterm-sixel")


def picture(path: Path, columns: int, rows: int | None = None) -> Widget:
    """The picture in ``path``, as large as ``columns`` and ``rows`` allow, and in its shape.

    Raises:
        OSError, ValueError: the file is missing or no picture.
    """
    from PIL import Image

    with Image.open(path) as opened:
        opened.load()
    high = opened.height / opened.width / CELL_RATIO
    columns = min(columns, opened.width)
    if rows is not None:
        columns = max(min(columns, int(rows / high)), 1)
    return drawn(opened, columns, max(1, round(columns * high)))


def drawn(image: "Image", columns: int, rows: int) -> Widget:
    """A picture in so many cells: kitty's protocol or sixel where known, else half-blocks.

    The terminal is recognised by what it says of itself: asking it takes time, and its answer would
    arrive among the keys.
    """
    with _unasked():
        from textual_image.widget import HalfcellImage, SixelImage, TGPImage

    term = os.environ.get("TERM", "")
    if "kitty" in term or "ghostty" in term or any(name in os.environ for name in _KITTY):
        kind: type[Widget] = TGPImage
    else:
        kind = SixelImage if term.startswith(_SIXEL_TERMS) else HalfcellImage
    shown = kind(image, classes="picture")  # type: ignore[arg-type]
    shown.styles.width, shown.styles.height = columns, rows
    return shown


@contextmanager
def _unasked() -> Iterator[None]:
    """Import textual-image as if there were no terminal, which it would ask what it can do.

    The size of a cell, which it remembers then, is read again from the terminal's driver where that knows it.
    """
    terminal, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
    from textual_image._terminal import get_cell_size

    if _driver_knows_pixels() and hasattr(get_cell_size, "_result"):
        del get_cell_size._result


def _driver_knows_pixels() -> bool:
    try:
        size = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8))  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        return False
    return all(struct.unpack("HHHH", size))
