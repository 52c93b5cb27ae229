"""Original images into the data root: checked cheaply, then linked or copied, never half-written."""

import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import atomic_path, foreign_content, write_bytes
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.image_header import JPEG_END, LARGEST_IMAGE, jpeg_header
from diffbev_engine.core.regular_file import open_regular, read_bounded
from diffbev_engine.nuscenes.tables import CameraFrame, Frames
from diffbev_engine.prepare.missing import MissingFile
from diffbev_engine.prepare.pinhole import same_shape

_log = logging.getLogger(__name__)

_TAIL = 64  # some writers pad the file with zeros
_SIZES_READ = 200
_SPARE_BYTES = 1 << 30
ImageMode = Literal["link", "copy", "symlink"]
IMAGE_MODES: tuple[ImageMode, ...] = ("link", "copy", "symlink")


def check_image(frame: CameraFrame) -> tuple[int, int]:
    """Make sure that the image of a frame is there, complete, and a resized original at most.

    What goes wrong in practice is a missing archive, an interrupted download or images that were
    made smaller, and all show in the first and last bytes.  Decoding 168,000 images to find a
    flipped bit would take longer than all labels.

    Returns:
        Width and height as stored; the intrinsics belong to those of the tables.

    Raises:
        MissingFile: the image does not exist.
        DiffBEVError: naming the file and what is wrong with it.
    """
    path = frame.image_path
    try:
        with open_regular(path) as file:
            header = jpeg_header(file)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except FileNotFoundError as error:
        raise MissingFile(path) from error
    except OSError as error:
        raise DiffBEVError(f"cannot read the image {path}: {error.strerror or error}") from error
    if header is None or not tail.rstrip(b"\0").endswith(JPEG_END):
        what = "is not a JPEG" if header is None else "is truncated"
        what = foreign_content(path) or f"{what} ({size} bytes). Extract it again"
        raise DiffBEVError(f"image damaged: {path} {what}.")
    width, height = header.width, header.height
    if not same_shape((width, height), (frame.width, frame.height)):
        raise DiffBEVError(
            f"image {path} is {width}x{height}, but the tables say {frame.width}x{frame.height}: it was "
            "cropped or stretched, so the intrinsics do not fit. Restore the original image."
        )
    return width, height


def table_sizes(frames: Iterable[CameraFrame]) -> dict[str, tuple[int, int]]:
    """Width and height of the original images by camera; a camera of several sizes is skipped."""
    found: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for frame in frames:
        found[frame.camera].add((frame.width, frame.height))
    return {camera: next(iter(sizes)) for camera, sizes in found.items() if len(sizes) == 1}


class StoredSizes:
    """Counts images that are stored at another size than the tables say."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int, int, int, int]] = Counter()

    def add(self, camera: str, stored: tuple[int, int], original: tuple[int, int]) -> None:
        """Note the size of an image."""
        if stored != original:
            self._counts.update([(camera, *stored, *original)])

    def notes(self) -> list[str]:
        """One line per camera and size."""
        return [
            f"{count} images of {camera} are stored at {width}x{height}, the tables say {table_width}x"
            f"{table_height}: resized copies, used with the calibration of the tables' size"
            for (camera, width, height, table_width, table_height), count in sorted(self._counts.items())
        ]


@dataclass(frozen=True)
class Placement:
    """How images get into the data root."""

    mode: ImageMode
    notes: tuple[str, ...] = ()


def choose_placement(mode: ImageMode, frames: Frames, target_dir: Path) -> Placement:
    """Try whether hard links work; where images must be copied, report the size and make sure that it fits.

    Args:
        mode: what was asked for.
        frames: those whose images are to be placed.
        target_dir: on the disk of the data root.

    Raises:
        DiffBEVError: the disk has no room for the copies.
    """
    some = frames[:: max(1, len(frames) // _SIZES_READ)]
    present = [frame.image_path for frame in some if frame.image_path.exists()]
    if not present or mode == "symlink":
        return Placement(mode)
    why = "copies were asked for" if mode == "copy" else _why_not_linked(present[0], target_dir)
    if not why:
        return Placement("link")
    size = sum(path.stat().st_size for path in present) // len(present) * len(frames)
    free = shutil.disk_usage(target_dir).free
    what = f"{len(frames)} images (about {byte_size(size)}) to {target_dir.parent.parent} ({why})"
    if size + min(size, _SPARE_BYTES) > free:
        raise DiffBEVError(
            f"cannot copy {what}: only {byte_size(free)} are free there. "
            "Use --images symlink to link to the originals, or another --output-dir."
        )
    _log.warning("copying %s; --images symlink links to the originals instead", what)
    return Placement("copy", (f"copied {what}; --images symlink would link to the originals",))


def _why_not_linked(source: Path, target_dir: Path) -> str:
    """The reason of the system why a hard link is not possible; nothing where it is."""
    probe = target_dir / f".{source.name}.probe"
    try:
        os.link(source.resolve(), probe)
    except FileExistsError:
        return ""
    except OSError as error:
        return f"no hard links: {error.strerror or error}"
    finally:
        probe.unlink(missing_ok=True)
    return ""


def place_image(source: Path, target: Path, mode: ImageMode = "link") -> None:
    """Link ``source`` to ``target``, or copy it where hard links are not possible.

    Raises:
        DiffBEVError: the source cannot be read.
        OSError: the target cannot be written.
    """
    # A link to a symbolic link would dangle once that link moves, so link what it points to.
    original = source.resolve()
    if mode == "symlink":
        with atomic_path(target) as temporary:
            temporary.symlink_to(original)
        return
    try:
        if mode == "copy":
            raise OSError
        with atomic_path(target) as temporary:
            os.link(original, temporary)
    except OSError:  # another file system, no permission to link, a file system without links
        try:
            content = read_bounded(original, LARGEST_IMAGE)
        except OSError as error:
            raise DiffBEVError(f"cannot read the image {source}: {error.strerror or error}") from error
        write_bytes(target, content)
