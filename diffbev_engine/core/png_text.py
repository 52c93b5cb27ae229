"""Texts that a PNG carries; no pixels are decoded. Imports nothing heavy until one is read."""

import struct
import zlib
from pathlib import Path

from diffbev_engine.core.image_header import MOST_PIXELS, image_header
from diffbev_engine.core.regular_file import open_regular


def png_text(path: Path, key: str) -> tuple[tuple[int, int], str | None]:
    """Width and height of a PNG, and its text of this name; ``None`` without one.

    Raises:
        OSError, ValueError: there is no such file, or it is no sound PNG.
    """
    from PIL import Image

    try:
        # Pillow refuses texts that unpack to more than a MiB; other formats have decoders that run programs.
        with open_regular(path) as file:
            header = image_header(file)
            if header is None or header.width * header.height > MOST_PIXELS:
                raise ValueError(f"{path.name} is no PNG, or too large")
            file.seek(0)
            with Image.open(file, formats=("PNG",)) as opened:
                # ``opened.text`` would decode all pixels to find what may stand at the end.
                size, text = opened.size, opened.info.get(key)
    except (SyntaxError, Image.DecompressionBombError, struct.error, zlib.error, EOFError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    except (IndexError, KeyError, OverflowError, TypeError, UnicodeError) as error:
        raise ValueError(f"{path.name} is damaged ({type(error).__name__})") from error
    return size, text if isinstance(text, str) else None
