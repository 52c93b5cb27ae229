"""Runs that are no longer wanted: moved to ``.trash`` next to them, never deleted at once."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.lock import refuse_if_held
from diffbev_engine.runs.verdict import RunCondition

TRASH = ".trash"


@dataclass(frozen=True)
class Trashed:
    """A run that was moved."""

    run: Path
    """Where it was."""
    path: Path
    """Where it is."""
    size: int
    """Bytes."""


def size_of_run(run: Path) -> int:
    """Bytes that all files of a run take; a file under two names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(run):
        for name in names:
            try:
                stat = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - tens of thousands of them
            except OSError:
                continue
            seen[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values())


def move_to_trash(run: Path) -> Trashed:
    """Move a run that is over to the ``.trash`` directory next to it; moving it back restores it.

    Raises:
        DiffBEVError: there is no run, it is running, or it cannot be moved.
    """
    run = run.resolve()
    report = inspect_run(run)
    refuse_if_held(RunFolder(run))
    if report.state is RunCondition.RUNNING:
        raise DiffBEVError(f"{run} is running: {report.message}. Stop it first.")
    size = size_of_run(run)
    target = run.parent / TRASH / f"{run.name}_{datetime.now():%Y%m%d_%H%M%S}"
    try:
        target.parent.mkdir(exist_ok=True)
        while target.exists():  # another one in the same second
            target = target.with_name(f"{target.name}_2")
        run.rename(target)
    except OSError as error:
        raise DiffBEVError(f"cannot move {run} to {target}: {error.strerror or error}.") from error
    return Trashed(run, target, size)
