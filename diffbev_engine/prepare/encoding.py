"""Label PNGs: one uint16 a BEV cell, one bit a class, two bits for the two ignore masks.

Bits 0-13 are the classes of ``diffbev_engine.core.classes`` (several may be set: a car is on
drivable area), bit 14 is the ignore mask of PON (outside the view, hidden from LiDAR, or under a
box of no class) and bit 15 the ignore mask without the LiDAR part.  Class bits stay set where a
cell is ignored.  Row 0 is nearest to the camera; viewers that show 8 bits show it almost black.
"""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_bytes
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.core.image_header import LARGEST_IMAGE, image_header
from diffbev_engine.core.png import grey_png
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.prepare.image_file import decode_image

IGNORE_BIT = 14
IGNORE_FOV_BIT = 15

_CLASS_MASKS = (1 << np.arange(NUM_CLASSES, dtype=np.uint16))[:, None, None]
_PNG_END = b"IEND\xaeB`\x82"


class DecodedLabel(NamedTuple):
    """The planes of one label; row 0 is nearest to the camera."""

    classes: np.ndarray
    """(14, rows, cols) bool: class c covers the cell, visible or not."""
    valid: np.ndarray
    """(rows, cols) bool: seen by camera and LiDAR; scored under ``mask=pon``."""
    valid_fov: np.ndarray
    """(rows, cols) bool: within the camera's horizontal view; scored under ``mask=fov``."""


def pack_planes(planes: np.ndarray) -> np.ndarray:
    """(P, rows, cols) bool, at most 16 planes, as (rows, cols) uint16 with a bit a plane."""
    halves = np.zeros((2, *planes.shape[1:]), np.uint8)  # bytes take a third of the time of uint16
    for bit, plane in enumerate(planes):
        if not plane.any():  # most classes are absent
            continue
        halves[bit // 8] |= (plane != 0).view(np.uint8) << np.uint8(bit % 8)
    return halves[0] | halves[1].astype(np.uint16) << np.uint16(8)


def unpack_classes(bits: np.ndarray) -> np.ndarray:
    """(14, rows, cols) bool, from the bits of (rows, cols) uint16."""
    return (bits & _CLASS_MASKS) != 0


def encode_label(classes: np.ndarray, ignore: np.ndarray, outside_fov: np.ndarray) -> np.ndarray:
    """Pack the planes of a label into one array.

    Args:
        classes: (14, rows, cols) bool.
        ignore: (rows, cols) bool, cells that PON's mask drops.
        outside_fov: (rows, cols) bool, cells that the FOV-only mask drops: outside the view or
            under a box of no class.

    Returns:
        (rows, cols) uint16.
    """
    if classes.shape != (NUM_CLASSES, *ignore.shape) or outside_fov.shape != ignore.shape:
        raise ValueError(f"planes do not match: {classes.shape}, {ignore.shape}, {outside_fov.shape}")
    return add_ignored(pack_planes(classes), ignore, outside_fov)


def add_ignored(bits: np.ndarray, ignore: np.ndarray, outside_fov: np.ndarray) -> np.ndarray:
    """A label (rows, cols) uint16 from the bits of its classes and its two masks, see ``encode_label``."""
    return bits | ignore * np.uint16(1 << IGNORE_BIT) | outside_fov * np.uint16(1 << IGNORE_FOV_BIT)


def decode_label(label: np.ndarray) -> DecodedLabel:
    """Unpack a (rows, cols) uint16 label; about 0.2 ms for 196 x 200.

    Raises:
        ValueError: the array is not 2-D uint16. Casting to uint8 would lose the ignore bits and
            six classes, so nothing is cast.
    """
    if label.dtype != np.uint16 or label.ndim != 2:
        raise ValueError(f"a label is a 2-D uint16 array, not {label.ndim}-D {label.dtype}")
    return DecodedLabel(
        classes=unpack_classes(label),
        valid=(label & np.uint16(1 << IGNORE_BIT)) == 0,
        valid_fov=(label & np.uint16(1 << IGNORE_FOV_BIT)) == 0,
    )


def write_label(path: Path, label: np.ndarray) -> None:
    """Write a (rows, cols) uint16 label as a 16-bit greyscale PNG, atomically."""
    if label.dtype != np.uint16 or label.ndim != 2:
        raise ValueError(f"a label is a 2-D uint16 array, not {label.ndim}-D {label.dtype}")
    write_bytes(path, grey_png(label))


def read_label(path: Path, shape: tuple[int, int] = LABEL_GRID.shape) -> np.ndarray:
    """Read a label PNG as (rows, cols) uint16.

    Raises:
        DiffBEVError: naming the file, when it is missing, damaged, not 16-bit or not of ``shape``.
    """
    try:
        content = read_bounded(path, LARGEST_IMAGE)
    except OSError as error:
        raise DiffBEVError(f"cannot read the label {path}: {error.strerror or error}") from error
    header = image_header(BytesIO(content))
    # Another size or depth is named below; none is decoded that has not the pixels of a label.
    if header and header.bits == 16 and header.channels == 1 and (header.height, header.width) != shape:
        raise _wrong_shape(path, (header.height, header.width), shape)
    try:
        label = decode_image(content, cv2.IMREAD_UNCHANGED) if content.endswith(_PNG_END) else None
    except ValueError:
        label = None
    if label is None:
        raise DiffBEVError(
            f"the label {path} is damaged or not a PNG ({len(content)} bytes). Delete it and run "
            f"`prepare` again; only missing labels are recreated."
        )
    if label.dtype != np.uint16:
        raise DiffBEVError(
            f"the label {path} is 8-bit; labels must be 16-bit with one bit per class. It was "
            f"probably re-saved by an image tool. Delete it and run `prepare` again."
        )
    if label.shape != shape:
        raise _wrong_shape(path, label.shape, shape)
    return label


def _wrong_shape(path: Path, found: tuple[int, ...], shape: tuple[int, int]) -> DiffBEVError:
    return DiffBEVError(
        f"the label {path} has shape {_by(found)} instead of {_by(shape)} (rows × columns); "
        "labels are never resized. Delete it and run `prepare` again."
    )


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(str(length) for length in shape)
