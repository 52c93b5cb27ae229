"""When a disk is nearly full: the doctor, the alerts and the screens ask here."""

from pathlib import Path
from shutil import disk_usage

_CHECKPOINTS = 3
_LEAST_BYTES = 2**30


def disk_is_low(free: int, checkpoint: int | None) -> bool:
    """Whether the next checkpoints may not fit: less free than three of them, or than 1 GiB; bytes."""
    return free < max(_CHECKPOINTS * (checkpoint or 0), _LEAST_BYTES)


def checkpoints_at_once(kept: int) -> int:
    """Most checkpoint files at a time: the ``kept`` ones, latest and best, and those being replaced."""
    return kept + 4


def free_bytes(path: Path) -> int | None:
    """Free space on the disk of ``path``; ``None`` where that cannot be read."""
    try:
        return disk_usage(path).free
    except OSError:
        return None


def size_of(path: Path) -> int | None:
    """Bytes of a file; ``None`` where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None
