"""Size of a PNG or JPEG by its header, checked before anything is decoded. Imports nothing heavy.

Ninety bytes can claim billions of pixels, for which a decoder would take the memory.
"""

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

MOST_PIXELS = 50_000_000
"""Of an image from outside; a camera of nuScenes has 1.4 million."""
LARGEST_IMAGE = 64 << 20
"""Bytes of its file."""
_MOST_SCANS = 200
"""Of a JPEG; each makes a decoder go through all pixels once, and takes a dozen bytes."""
_PNG = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_SCAN = b"\xff\xda"
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_MOST_SEGMENTS = 1_000
_MOST_CHUNKS = 10_000


class ImageHeader(NamedTuple):
    """What an image claims to be."""

    width: int
    height: int
    bits: int
    """Per sample."""
    channels: int


_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""By colour type; a palette holds RGB."""


def image_header(file: BinaryIO) -> ImageHeader | None:
    """The header of a PNG or JPEG at the beginning of ``file``, sizes never 0; None for anything else."""
    if file.read(len(_PNG)) == _PNG:
        return _png(file.read(18))
    file.seek(0)
    return jpeg_header(file)


def whole_jpeg(content: bytes) -> bytes:
    """The JPEG at the beginning of ``content`` without what its camera appended; empty if it is cut off.

    Phones append notes of their own, a second picture or a video; a preview lies before the pixels, in a
    segment of the header.
    """
    file = BytesIO(content)
    if file.read(len(JPEG_START)) == JPEG_START and _SCAN[1] in _segments(file):
        end = content.find(JPEG_END, file.tell())  # pixels hold no such bytes
        return content[: end + len(JPEG_END)] if end >= 0 else b""
    return b""


def why_not_decoded(content: bytes) -> str:
    """Why an image must not be given to a decoder, as the end of a sentence; empty where it may."""
    header = image_header(BytesIO(content))
    if header is None:
        return "is not a readable PNG or JPEG image"
    if header.width * header.height > MOST_PIXELS:
        return f"claims {header.width} x {header.height} pixels, too many to be decoded"
    if content.startswith(_PNG) and not _chunks_are_whole(content):
        return "is truncated or damaged"
    if content.startswith(JPEG_START) and content.count(_SCAN) > _MOST_SCANS:
        return "has too many scans to be decoded"
    return ""


def _chunks_are_whole(content: bytes) -> bool:
    """Whether every chunk of a PNG is as long as it claims, and there are pixels among them.

    OpenCV takes as much memory as a chunk claims before it looks, and looks for pixels behind the end.
    """
    at, pixels = len(_PNG), False
    for _ in range(_MOST_CHUNKS):
        kind = content[at + 4 : at + 8]
        if kind == b"IEND":
            return pixels
        pixels |= kind == b"IDAT"
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if at > len(content):
            return False
    return False


def _png(chunk: bytes) -> ImageHeader | None:
    if len(chunk) < 18 or chunk[4:8] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", chunk[8:18])
    channels = _PNG_CHANNELS.get(colour)
    return ImageHeader(width, height, bits, channels) if width and height and channels else None


def jpeg_header(file: BinaryIO) -> ImageHeader | None:
    """The header of a JPEG at the beginning of ``file``; None for anything else."""
    if file.read(len(JPEG_START)) != JPEG_START:
        return None
    for kind in _segments(file):
        if kind in _FRAME_HEADERS:
            frame = file.read(6)
            if len(frame) < 6:
                return None
            bits, height, width, channels = struct.unpack(">BHHB", frame)
            return ImageHeader(width, height, bits, channels) if width and height else None
    return None


def _segments(file: BinaryIO) -> Iterator[int]:
    """The kinds of the segments of a JPEG, with the file at the content of each; the last are the pixels."""
    for _ in range(_MOST_SEGMENTS):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return
        if marker[1] == 0xFF:  # a fill byte before the marker
            file.seek(-3, os.SEEK_CUR)
            continue
        behind = file.tell() + max(int.from_bytes(marker[2:], "big") - 2, 0)
        yield marker[1]
        if marker[1] == _SCAN[1]:
            return
        file.seek(behind)
