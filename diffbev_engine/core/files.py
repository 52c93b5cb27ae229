"""Atomic file writes: write to a temporary name, then rename."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.file_kind import HEAD_BYTES, kind_of
from diffbev_engine.core.regular_file import open_regular

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` and rename it there on success.

    On any error the temporary file is removed and ``path`` is left as it was.  With
    ``durable`` the content reaches the disk before the rename and the name after it, so that a
    power cut leaves the old file or, once this has returned, the new one; never an empty one.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        if durable:
            _flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            _flush_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporaries(directory: Path, ours: Callable[[str], bool]) -> tuple[int, int]:
    """Remove what killed writers left of :func:`atomic_path`; only the sole writer may call this.

    Args:
        directory: the files right in it are swept, not those of subdirectories.
        ours: whether a file of this name is written by the caller alone.

    Returns:
        Number and bytes of the files that were removed.
    """
    count = size = 0
    for path in directory.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and ours(match[1]) and path.is_file() and not path.is_symlink():
            try:
                freed = path.stat().st_size
                path.unlink()
            except OSError:  # it costs space, nothing else
                continue
            count, size = count + 1, size + freed
    return count, size


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = False) -> None:
    """Write ``content`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, content.encode(), durable=durable)


def make_writable_dir(path: Path, purpose: str) -> Path:
    """Create ``path`` if needed and prove that it can be written.

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
