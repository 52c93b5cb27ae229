"""Atomic file writes: write to a temporary name, then rename."""

import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it there on success.

    On any error the temporary file is removed and ``path`` is left as it was.  With
    ``durable`` the content reaches the disk before the rename and the name after it, so that a
    power cut leaves the old file or, once this has returned, the new one; never an empty one.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
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


def _flush_directory(path: Path) -> None:
    """Make a rename in ``path`` last; file systems that cannot do so do without."""
    with suppress(OSError):
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
