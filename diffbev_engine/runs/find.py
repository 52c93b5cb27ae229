"""The run directories below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

_NOT_RUNS = {"img_dir", "ann_bev_dir", "samples", "sweeps", "maps", "node_modules", "__pycache__"}
_DEPTH = 6


def find_runs(root: Path, *, set_aside: bool = False) -> Iterator[Path]:
    """The run directories in and below ``root``, in the order of their names.

    Args:
        root: a workspace, its ``runs`` folder, or one run directory.
        set_aside: also the earlier runs that a new start moved into a subfolder.
    """
    return _find(root, set_aside, _DEPTH)


def _find(folder: Path, set_aside: bool, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if {"run.json", "status.json", "launch.json", "slurm.json"} & {entry.name for entry in entries}:
        yield folder
        if not set_aside:
            return
    for entry in entries:
        hidden = entry.name.startswith(".") or entry.name in _NOT_RUNS
        if depth and not hidden and entry.is_dir(follow_symlinks=False):
            yield from _find(folder / entry.name, set_aside, depth - 1)
