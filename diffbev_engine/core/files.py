"""Atomic file writes: write to a temporary name, then rename."""

import math
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.file_kind import HEAD_BYTES, kind_of
from diffbev_engine.core.regular_file import open_regular

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_PRIVATE = 0o600
_ABANDONED_S = 3600.0
"""Age at which a temporary file has no writer any more: none takes minutes."""


@contextmanager
def atomic_path(path: Path, *, durable: bool = False, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` and rename it there on success.

    On any error the temporary file is removed and ``path`` is left as it was.  With
    ``durable`` the content reaches the disk before the rename and the name after it, so that a
    power cut leaves the old file or, once this has returned, the new one; never an empty one.
    A ``private`` file can be read by its owner only, from its first byte on.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        if private:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE))
        yield temporary
        if durable:
            _flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            _flush_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing that only its owner can read, such as what a program prints."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, _PRIVATE), "ab" if append else "wb")


def sweep_temporaries(
    directory: Path, ours: Callable[[str], bool], *, older_than_s: float = -math.inf
) -> tuple[int, int]:
    """Remove what killed writers left of :func:`atomic_path`; only the sole writer may call this.

    Args:
        directory: the files right in it are swept, not those of subdirectories.
        ours: whether a file of this name is written by the caller alone.
        older_than_s: leave files alone that were written since.

    Returns:
        Number and bytes of the files that were removed.
    """
    count = size = 0
    latest = time.time() - older_than_s
    for name in os.listdir(directory):  # noqa: PTH208 - 140,000 in a directory of labels
        match = _TEMPORARY.fullmatch(name)
        if not match or not ours(match[1]):
            continue
        path = directory / name
        try:
            found = path.lstat()
            # ctime: a hard link to an old image is recent; a symbolic link is one of `prepare --images`.
            if found.st_ctime > latest or not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                continue
            path.unlink()
        except OSError:  # it costs space, nothing else
            continue
        count, size = count + 1, size + found.st_size
    return count, size


def sweep_abandoned(directory: Path) -> None:
    """Remove temporary files that are too old to have a writer, whoever it was."""
    with suppress(OSError):
        sweep_temporaries(directory, lambda _name: True, older_than_s=_ABANDONED_S)


def write_bytes(path: Path, content: bytes, *, durable: bool = False, private: bool = False) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path, durable=durable, private=private) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = False, private: bool = False) -> None:
    """Write ``content`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, content.encode(), durable=durable, private=private)


def expanded(path: str | Path) -> Path:
    """``path`` with a leading ``~`` or ``~user`` filled in; as it is where there is no such user or home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises for them


def make_writable_dir(path: Path, purpose: str) -> Path:
    """Create ``path`` if needed, prove that it can be written, and remove what killed writers left there.

    Raises:
        DiffBEVError: naming the folder, its ``purpose`` and the reason of the system.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise DiffBEVError(
            f"cannot write the {purpose} {path}: {reason}. Choose another directory or fix its permissions."
        ) from error
    sweep_abandoned(path)
    return path


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def same_but_case(path: Path) -> list[Path]:
    """Existing paths that differ from ``path`` in upper and lower case only."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as the user wrote them
    found = [Path(path.anchor)]
    for part in path.parts[1:]:
        found = [
            entry for folder in found for entry in _children(folder) if entry.name.lower() == part.lower()
        ]
    return [other for other in found if other != path]


def did_you_mean(path: Path) -> str:
    """``" Did you mean …?"`` for a missing path that exists in another case; else nothing."""
    twins = [] if path.exists() else same_but_case(path)
    return f" Did you mean {twins[0]}?" if twins else ""


def foreign_content(path: Path) -> str:
    """What a file is when it is not what its name promises, as the end of a sentence; else nothing.

    Recognizes what downloads and clones leave in place of data: Git LFS pointers, web pages,
    archives that were not extracted, files without content.
    """
    try:
        with open_regular(path) as file:
            return foreign_bytes(file.read(HEAD_BYTES))
    except OSError:
        return ""


def foreign_bytes(content: bytes) -> str:
    """The same as `foreign_content`, of what was read already."""
    head = content[:HEAD_BYTES]
    if not head.strip():
        return "is empty. Download or extract it again"
    kind = kind_of(head)
    if not kind or kind == _EXPECTED:
        return ""
    return f"is {kind}" + ("" if "git lfs" in kind else ". Download or extract the file itself again")


_EXPECTED = "a JPEG image"
"""What data of nuScenes may be; a truncated one is no other kind of file."""


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not a directory, or not readable
        return []


def _flush_directory(path: Path) -> None:
    """Make a rename in ``path`` last; file systems that cannot do so do without."""
    with suppress(OSError):
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What is different as soon as a file was written or replaced; ``None`` where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
