"""Pictures in a terminal, as finely as it can draw them."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widget import Widget

from diffbev_tui.widgets.image_cache import CELL_RATIO

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

    kinds: dict[str, type[Widget]] = {"kitty": TGPImage, "sixel": SixelImage, "blocks": HalfcellImage}
    shown = kinds[graphics](image, classes="picture")  # type: ignore[arg-type]
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
    from textual_image._terminal import get_cell_size, get_tiocgwinsz

    with suppress(OSError, ValueError):  # no terminal
        if all(get_tiocgwinsz()) and hasattr(get_cell_size, "_result"):
            del get_cell_size._result
