"""Link original images into the data root after a cheap integrity check."""

import os
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import atomic_path, write_bytes

_START = b"\xff\xd8"
_END = b"\xff\xd9"
_TAIL = 64  # some writers pad the file with zeros


def check_jpeg(path: Path) -> None:
    """Make sure that a JPEG is there and whole: it begins and ends as a JPEG does.

    What goes wrong in practice is a missing archive or an interrupted download, and both show at
    the ends.  Decoding 168,000 images to find a flipped bit would take longer than all labels.

    Raises:
        DiffBEVError: naming the file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_START))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except FileNotFoundError as error:
        raise DiffBEVError(f"image missing: {path}. Unpack the nuScenes archive that holds it.") from error
    except OSError as error:
        raise DiffBEVError(f"cannot read the image {path}: {error.strerror or error}") from error
    if head != _START or not tail.rstrip(b"\0").endswith(_END):
        what = "cut short" if head == _START else "no JPEG"
        raise DiffBEVError(f"image damaged: {path} is {what} ({size} bytes). Unpack it again.")


def place_image(source: Path, target: Path) -> None:
    """Hard-link ``source`` to ``target``, or copy it where links are not possible.

    Raises:
        DiffBEVError: the source cannot be read.
        OSError: the target cannot be written.
    """
    # A link to a symbolic link would dangle once that link moves, so link what it points to.
    original = source.resolve()
    try:
        with atomic_path(target) as temporary:
            os.link(original, temporary)
    except OSError:  # another file system, no permission to link, a file system without links
        try:
            content = original.read_bytes()
        except OSError as error:
            raise DiffBEVError(f"cannot read the image {source}: {error.strerror or error}") from error
        write_bytes(target, content)
