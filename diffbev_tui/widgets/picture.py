"""Pictures in a terminal, as finely as it can draw them."""

import fcntl
import io
import os
import struct
import sys
import termios
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widget import Widget

from diffbev_engine.core.image_header import LARGEST_IMAGE, why_not_decoded
from diffbev_engine.core.regular_file import read_bounded
from diffbev_tui.widgets.image_cache import CELL_RATIO

if TYPE_CHECKING:
    from PIL.Image import Image


def load_picture(path: Path) -> "Image":
    """The pixels in ``path``, and whatever draws them; to be called from a thread, as both take a while.

    Raises:
        OSError, ValueError: the file is missing, no picture, or too large.
    """
    from PIL import Image

    _kinds()
    content = read_bounded(path, LARGEST_IMAGE)
    if refused := why_not_decoded(content):
        raise ValueError(f"{path} {refused}")
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as opened:
            return opened.convert("RGB")
    except (SyntaxError, struct.error, zlib.error, EOFError, IndexError, OverflowError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def picture(image: "Image", columns: int, rows: int | None, graphics: str) -> Widget:
    """A picture as large as ``columns`` and ``rows`` allow, and in its shape."""
    high = image.height / image.width / CELL_RATIO
    columns = min(columns, image.width)
    if rows is not None:
        columns = max(min(columns, int(rows / high)), 1)
    return drawn(image, columns, max(1, round(columns * high)), graphics)


def drawn(image: "Image", columns: int, rows: int, graphics: str) -> Widget:
    """A picture in so many cells, drawn with one of ``terminal_graphics.GRAPHICS``."""
    shown = _kinds()[graphics](image, classes="picture")  # type: ignore[arg-type]
    shown.styles.width, shown.styles.height = columns, rows
    return shown


@cache
def _kinds() -> dict[str, type[Widget]]:
    with _unseen_terminal():
        from textual_image.widget import HalfcellImage, TGPImage

        from diffbev_tui.widgets.sixel import SixelImage

    return {"kitty": TGPImage, "sixel": SixelImage, "blocks": HalfcellImage}


@contextmanager
def _unseen_terminal() -> Iterator[None]:
    """Import textual-image as if there were no terminal, yet with the size of its cells.

    It would ask the terminal what it can do, and the answer would arrive among the keys; it has no setting
    for that.  The size of a cell, in pixels, it then takes from these variables, and remembers it.
    """
    cell = _cell_pixels()
    variables = dict(zip(("TEXTUAL_CELL_WIDTH", "TEXTUAL_CELL_HEIGHT"), map(str, cell), strict=False))
    before = {name: os.environ.get(name) for name in variables}
    terminal, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc, assignment]
    os.environ.update(variables)
    try:
        yield
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cell_pixels() -> tuple[int, ...]:
    """Width and height of a cell, as the driver of the terminal knows them; empty where it does not."""
    if sys.__stdout__ is None:
        return ()
    try:
        answer = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (OSError, ValueError):  # no terminal
        return ()
    rows, columns, width, height = struct.unpack("HHHH", answer)
    return (width // columns, height // rows) if rows and columns and width >= columns else ()
