"""``init``: write a workspace, or bring one up to date, and never overwrite a user's change."""

import difflib
import hashlib
import os
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from diffbev_engine import __version__
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import atomic_path, did_you_mean, make_writable_dir, sweep_abandoned
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.core.toml import WORKSPACE_FILE
from diffbev_engine.workspace.content import FileContent, workspace_files
from diffbev_engine.workspace.workspace import (
    RUN_FOLDERS,
    Workspace,
    absolute,
    load_workspace,
)

_LARGEST = 16 << 20


class Outcome(str, Enum):
    """What ``init`` did with a file."""

    WRITTEN = "written"
    """It was not there."""
    UPDATED = "updated"
    """It was there as an earlier ``init`` had written it, and is new now."""
    UNCHANGED = "unchanged"
    """It was there and is what ``init`` would write."""
    KEPT = "kept"
    """Changed by the user, or not from ``init``: left alone."""


@dataclass(frozen=True)
class FileReport:
    """What happened to one file."""

    path: str
    """Relative to the workspace, with ``/``."""
    outcome: Outcome
    diff: str = ""
    """Unified diff from what was there to what ``init`` writes; empty where nothing differs."""
    news: bool = True
    """False for a kept file whose difference is the user's change alone."""

    @property
    def lines(self) -> tuple[int, int]:
        """Lines that the diff adds and removes."""
        body = self.diff.splitlines()[2:]
        return sum(line.startswith("+") for line in body), sum(line.startswith("-") for line in body)


@dataclass(frozen=True)
class InitReport:
    """What ``init`` did."""

    workspace: Workspace
    files: tuple[FileReport, ...]
    existed: bool
    """Whether the folder was a workspace before."""

    def of(self, outcome: Outcome) -> list[FileReport]:
        """The files with this outcome."""
        return [report for report in self.files if report.outcome is outcome]


def init_workspace(
    root: Path,
    nuscenes_root: Path | None = None,
    *,
    data_root: Path | None = None,
    demo: bool = False,
    upgrade: bool = False,
) -> InitReport:
    """Write the files of a workspace that are missing or still as an earlier ``init`` wrote them.

    Args:
        root: folder of the workspace; made if missing.
        nuscenes_root: raw nuScenes; ``None`` keeps that of an existing workspace.
        data_root: becomes ``data_root`` of the configurations, created if missing; by default that of an
            existing workspace, else the nuScenes root.
        demo: small configurations for a CPU.
        upgrade: bring an existing workspace up to date; it stays the kind it is.

    Raises:
        UsageError: no such nuScenes root; a workspace of the other kind; none to upgrade.
        DiffBEVError: a folder or file that cannot be written.
    """
    before = _existing(root, demo=demo, upgrade=upgrade)
    if nuscenes_root is not None:
        data = _checked_root(nuscenes_root)
    elif before is not None:
        data = before.nuscenes_root
    else:
        raise UsageError("--nuscenes-root DIR is missing: the folder with samples/, maps/ and v1.0-…/.")
    separate = absolute(data_root) if data_root else before.separate_data_root if before else None
    workspace = Workspace(
        absolute(root),
        data,
        demo=before.demo if before else demo,
        engine=__version__,
        user_tables=before.user_tables if before else "",
        separate_data_root=None if separate == data else separate,
    )
    make_writable_dir(workspace.root, "workspace")
    if workspace.separate_data_root:
        make_writable_dir(workspace.separate_data_root, "data root")
    known = dict(before.files) if before else {}
    reports = []
    try:
        for folder in RUN_FOLDERS:
            (workspace.root / folder).mkdir(parents=True, exist_ok=True)
        for path, content in workspace_files(workspace.data_root, demo=workspace.demo).items():
            report = _place(workspace.root, path, content, known.get(path))
            reports.append(report)
            if report.outcome is not Outcome.KEPT:
                known[path] = _digest(content.text)
        workspace = replace(workspace, files=known)
        workspace.save()
    except OSError as error:
        raise DiffBEVError(
            f"cannot write {error.filename or workspace.root}: {error.strerror or error}. Fix this, "
            f"then run the same command again to continue."
        ) from error
    return InitReport(workspace, tuple(reports), existed=before is not None)


def _existing(root: Path, *, demo: bool, upgrade: bool) -> Workspace | None:
    if not upgrade and not (root / WORKSPACE_FILE).exists():
        return None
    workspace = load_workspace(root)
    if demo != workspace.demo and not (upgrade and not demo):
        kind, option = ("a demo", "with") if workspace.demo else ("a full", "without")
        raise UsageError(
            f"{root} is {kind} workspace; switching would make its runs incomparable. Repeat the "
            f"command {option} --demo, or choose another directory."
        )
    return workspace


def _checked_root(nuscenes_root: Path) -> Path:
    path = absolute(nuscenes_root)
    if path.is_dir():
        return path
    raise UsageError(f"--nuscenes-root: directory {path} does not exist.{did_you_mean(path)}")


def _place(root: Path, path: str, content: FileContent, known: str | None) -> FileReport:
    target = root / path
    if not os.path.lexists(target):
        _write(target, content)
        return FileReport(path, Outcome.WRITTEN)
    try:
        old = read_bounded(target, _LARGEST)
    except OSError as error:  # a folder, a dead link, no permission: not ours to fix
        return FileReport(path, Outcome.KEPT, f"--- {path}\n+++ {path}\n({error.strerror})\n")
    if old == content.text.encode():
        return FileReport(path, Outcome.UNCHANGED)
    diff = _diff(path, old.decode(errors="replace"), content.text)
    if hashlib.sha256(old).hexdigest() == known and not target.is_symlink():
        _write(target, content)
        return FileReport(path, Outcome.UPDATED, diff)
    return FileReport(path, Outcome.KEPT, diff, news=known != _digest(content.text))


def _write(target: Path, content: FileContent) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_abandoned(target.parent)
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.text.encode())
        if content.executable:
            temporary.chmod(0o755)


def _diff(path: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{path} (yours)", f"{path} (diffbev {__version__})", lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
