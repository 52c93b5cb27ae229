"""Images from outside into arrays: nothing is decoded before its size is known."""

from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.image_header import (
    JPEG_END,
    JPEG_START,
    LARGEST_IMAGE,
    image_header,
    whole_jpeg,
    why_not_decoded,
)
from diffbev_engine.core.regular_file import open_regular, read_bounded


def decode_image(content: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode a PNG or JPEG with OpenCV.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence.
    """
    # OpenCV returns what it could decode of a truncated JPEG, grey below; the end marker tells.
    if content.startswith(JPEG_START) and JPEG_END not in content[-64:]:
        content = whole_jpeg(content)
        if not content:
            raise ValueError("is truncated")
    if refused := why_not_decoded(content):
        raise ValueError(refused)
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("is not a readable image")
    return image


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Read and decode a PNG or JPEG.

    Raises:
        DiffBEVError: naming the file and what is wrong with it.
    """
    try:
        return decode_image(read_bounded(path, LARGEST_IMAGE), flags)
    except ValueError as error:
        raise DiffBEVError(f"the image {path} is damaged: it {error}. Restore it") from error
    except OSError as error:
        raise DiffBEVError(f"cannot read the image {path}: {error.strerror or error}") from error


def image_size(path: Path) -> tuple[int, int]:
    """Width and height by the header of a PNG or JPEG; nothing is decoded.

    Raises:
        DiffBEVError: naming the file and what is wrong with it.
    """
    try:
        with open_regular(path) as file:
            header = image_header(file)
    except OSError as error:
        raise DiffBEVError(f"cannot read the image {path}: {error.strerror or error}") from error
    if header is None:
        raise DiffBEVError(f"the image {path} is damaged: it is not a readable PNG or JPEG image. Restore it")
    return header.width, header.height
