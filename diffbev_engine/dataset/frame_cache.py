"""Resized images on a fast disk, so that each is decoded once and not in every epoch.

A file holds one image, not compressed, behind what it was made from; whatever does not fit to its source or
is damaged is decoded again.  A disk that is full or may not be written costs the gain, never the training.
"""

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from zlib_ng import zlib_ng

from diffbev_engine.core.files import expanded, write_bytes
from diffbev_engine.core.regular_file import open_regular

_FORMAT = b"BEVframe"
_HEADER = struct.Struct("<8s2I2Q2II")
"""Format, size of the image, stamp of its source, width and height of the source, checksum of the image."""


@dataclass(frozen=True)
class Frame:
    """An image as the network takes it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    size: tuple[int, int]
    """Width and height of the file that it was decoded from."""


def frame_folder(cache: Path, image_size: tuple[int, int]) -> Path:
    """Where images of ``image_size`` (height, width) are kept, in folders by the beginning of their token."""
    height, width = image_size
    return expanded(cache) / f"{height}x{width}"


def frame_path(cache: Path, token: str, image_size: tuple[int, int]) -> Path:
    """Where the image of ``token`` is kept."""
    return frame_folder(cache, image_size) / token[:2] / token


def source_stamp(source: Path) -> tuple[int, int] | None:
    """What tells whether an image was replaced: its size and time; ``None`` where there is none."""
    try:
        status = os.stat(source)  # noqa: PTH116 - a third of the time of Path.stat, for every image
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def read_frame(path: Path, stamp: tuple[int, int], image_size: tuple[int, int]) -> Frame | None:
    """The frame of the source with this stamp; ``None``: there is none, or another's, or it is damaged."""
    image = np.empty((*image_size, 3), np.uint8)
    try:
        with open_regular(path) as file:
            header = _HEADER.unpack(os.read(file.fileno(), _HEADER.size))
            whole = os.readv(file.fileno(), [image.data]) == image.nbytes and not os.read(file.fileno(), 1)
    except (OSError, struct.error):
        return None
    *made_of, width, height, checksum = header
    if made_of != [_FORMAT, *image_size, *stamp] or not whole or zlib_ng.crc32(image.data) != checksum:
        return None
    return Frame(image, (width, height))


def write_frame(path: Path, stamp: tuple[int, int], frame: Frame) -> None:
    """Keep a frame of the source that had this stamp before it was read, if the disk lets us."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        made_of = _FORMAT, *frame.image.shape[:2], *stamp
        header = _HEADER.pack(*made_of, *frame.size, zlib_ng.crc32(frame.image.data))
        write_bytes(path, header + frame.image.tobytes())
