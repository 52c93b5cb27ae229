"""Pictures in a terminal, as finely as it can draw them."""

import fcntl
import io
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


def picture(path: Path, columns: int, rows: int | None, graphics: str) -> Widget:
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
    return drawn(opened, columns, max(1, round(columns * high)), graphics)


def drawn(image: "Image", columns: int, rows: int, graphics: str) -> Widget:
    """A picture in so many cells, drawn with one of ``core.graphics.GRAPHICS``."""
    with _alone():
        from textual_image.widget import HalfcellImage, TGPImage

        from diffbev_tui.widgets.sixel import SixelImage

    kinds: dict[str, type[Widget]] = {"kitty": TGPImage, "sixel": SixelImage}
    shown = kinds.get(graphics, HalfcellImage)(image, classes="picture")  # type: ignore[arg-type]
    shown.styles.width, shown.styles.height = columns, rows
    return shown


@contextmanager
def _alone() -> Iterator[None]:
    """Import textual-image as if there were no terminal, nor numpy.

    It would ask the terminal what it can do, and the answer would arrive among the keys; the size of a
    cell, which it remembers then, is read again from the terminal's driver where that knows it.  To
    import numpy takes longer than all that it does here.
    """
    terminal, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc, assignment]
    numpy = sys.modules.get("numpy")
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
        del sys.modules["numpy"]
        if numpy is not None:
            sys.modules["numpy"] = numpy
    from textual_image._terminal import get_cell_size

    if _driver_knows_pixels() and hasattr(get_cell_size, "_result"):
        del get_cell_size._result


def _driver_knows_pixels() -> bool:
    try:
        size = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8))  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):
        return False
    return all(struct.unpack("HHHH", size))
