"""Images, folders of images and videos, as frames one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.file_kind import IMAGE_SUFFIXES
from diffbev_engine.core.files import did_you_mean
from diffbev_engine.core.image_header import MOST_PIXELS
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.prepare.image_file import read_image

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
_MISSING_FRAMES = 2
"""By which the headers of whole videos are wrong."""


@dataclass(frozen=True)
class Frame:
    """One image, decoded."""

    name: str
    """Of what is written of it: the name of its file without suffix; of a video with the number."""
    image: np.ndarray
    """(H, W, 3) uint8 BGR."""


def list_files(sources: Sequence[Path]) -> list[Path]:
    """The image and video files that ``sources`` name, folders opened.

    Raises:
        UsageError: a source that is nothing of the kind, or two files whose results would have one name.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise UsageError(
                    f"{source} holds no image ({', '.join(IMAGE_SUFFIXES)}). Name another folder."
                )
            files += inside
        elif not source.exists():
            raise UsageError(f"no file {source}.{did_you_mean(source)}")
        elif source.suffix.lower() not in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
            known = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
            raise UsageError(f"{source} is neither an image nor a video ({known}).")
        else:
            files.append(source)
    first: dict[str, Path] = {}
    for path in files:
        if first.setdefault(path.stem, path) != path:
            raise UsageError(
                f"{first[path.stem]} and {path} have the same name, so one result would replace the other. "
                "Predict them one by one, each with an --output-dir of its own."
            )
    return files


def frames_of(path: Path, every: int = 1) -> Iterator[Frame]:
    """The frames of an image or a video.

    Args:
        path: of a file that ``list_files`` named.
        every: of a video, take one frame out of so many.

    Raises:
        DiffBEVError: a damaged file; of a video that ends early, after its frames.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        yield Frame(path.stem, read_image(path))
        return
    try:
        open_regular(path).close()
    except OSError as error:
        raise DiffBEVError(f"cannot read the video {path}: {error.strerror or error}.") from error
    yield from _frames_of_video(path, every)


def _frames_of_video(path: Path, every: int) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        width, height, promised = (
            int(video.get(name))
            for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        )
        if width * height > MOST_PIXELS:
            raise DiffBEVError(
                f"the frames of {path} have {width}x{height} pixels; at most {MOST_PIXELS:,} are decoded."
            )
        number = 0
        while video.grab():
            if number % every == 0:
                whole, image = video.retrieve()
                if not whole or image is None:
                    break
                yield Frame(f"{path.stem}_{number:06d}", image)
            number += 1
    finally:
        video.release()
    if not number:
        raise DiffBEVError(
            f"no frame of the video {path} can be decoded: it is damaged or of an unknown kind."
        )
    if number + _MISSING_FRAMES < promised:
        raise DiffBEVError(
            f"the video {path} ends after {number} of {promised} frames: it is truncated or damaged. What "
            "was predicted until there is kept."
        )
