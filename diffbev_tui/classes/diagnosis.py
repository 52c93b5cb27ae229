"""What ``diagnose`` found: the verdict, the shares of every class, and of which checkpoint they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import Count, Share, decode_file
from diffbev_engine.runs.folder import RunFolder

_RUNBOOK_FOLDER = "runs/diagnose"
RARE = 5e-4
"""A class with a smaller share of the visible cells is rare: its IoU depends on few objects."""


@dataclass(frozen=True)
class ClassShare:
    """Shares of the visible cells; ``None`` where the class is not annotated."""

    truth: float | None
    predicted: float | None
    cells: int
    """That carry the class."""

    @property
    def rare(self) -> bool:
        """Whether there are few of them, but some."""
        return bool(self.cells) and self.truth is not None and self.truth < RARE

    @property
    def never_predicted(self) -> bool:
        """Whether it is there and was not found even once."""
        return bool(self.cells) and not self.predicted


@dataclass(frozen=True)
class Diagnosis:
    """One summary of ``diagnose``."""

    path: Path
    cause: str
    """The engine's key of the first cause; ``healthy`` is one too."""
    title: Bilingual
    evidence: tuple[Bilingual, ...]
    action: Bilingual | None
    """What to do next."""
    further: tuple[Bilingual, ...]
    """Titles of what was found next to it."""
    checkpoint: Path | None
    iteration: int | None
    """After how many iterations the checkpoint was written; older summaries do not say it."""
    images: int | None
    split_images: int | None
    written: float
    """When it was written; Unix time."""
    shares: dict[str, ClassShare]
    """By class; empty where the model could not be run."""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return self.cause == "healthy"

    @property
    def run(self) -> Path | None:
        """The directory of the run whose checkpoint was diagnosed."""
        return self.checkpoint.parent if self.checkpoint else None

    @property
    def overwritten(self) -> bool:
        """Whether the file with the checkpoint holds other weights by now."""
        try:
            return self.checkpoint is not None and self.checkpoint.stat().st_mtime > self.written
        except OSError:
            return False


def find_diagnosis(workspace: Path, runs: Sequence[Path], run: Path) -> Diagnosis | None:
    """The newest diagnosis of ``run``, else the newest of any; ``None`` when there is none to be read."""
    folders = [workspace / _RUNBOOK_FOLDER, *map(folder_of, runs)]
    read = (read_diagnosis(folder / "summary.json", workspace) for folder in folders)
    found = [one for one in read if one is not None]
    mine = [one for one in found if one.run == run]
    return max(mine or found, key=lambda one: one.written, default=None)


def folder_of(run: Path) -> Path:
    """Where a diagnosis that is started from the UI is written: next to the run that it is of."""
    return run / "diagnose"


def checkpoint_of(run: Path) -> Path | None:
    """What is diagnosed of a run: its best checkpoint, else the newest."""
    folder = RunFolder(run)
    return next((path for path in (folder.best, folder.latest) if path.exists()), None)


def read_diagnosis(path: Path, workspace: Path) -> Diagnosis | None:
    """The summary in ``path``; ``None`` when there is none, or it is no summary."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _read(path, workspace, stat.st_mtime_ns, stat.st_size)


@dataclass(frozen=True)
class _Entry:
    title: Bilingual
    evidence: tuple[Bilingual, ...] = ()
    action: Bilingual | None = None


@dataclass(frozen=True)
class _Provenance:
    checkpoint: str | None = None
    iteration: Count | None = None
    samples: Count | None = None
    split_samples: Count | None = None


@dataclass(frozen=True)
class _Counts:
    TP: Count
    FN: Count


@dataclass(frozen=True)
class _Predictions:
    counts: Mapping[str, _Counts] = field(default_factory=dict)
    share_truth: Mapping[str, Share | None] = field(default_factory=dict)
    share_predicted: Mapping[str, Share | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Summary:
    """``summary.json``, as far as it is shown."""

    verdict: str
    findings: tuple[_Entry, ...]
    provenance: _Provenance | None = None
    predictions: _Predictions | None = None


@lru_cache(maxsize=8)
def _read(path: Path, workspace: Path, changed_ns: int, _size: int) -> Diagnosis | None:
    content = decode_file(path, _Summary).value
    if content is None:
        return None
    first = content.findings[0] if content.findings else None
    made = content.provenance or _Provenance()
    cause = plain(content.verdict)
    return Diagnosis(
        path=path,
        cause=cause,
        title=first.title.map(plain) if first else same(cause),
        evidence=tuple(one.map(_plain_lines) for one in first.evidence) if first else (),
        action=first.action.map(_plain_lines) if first and first.action else None,
        further=tuple(one.title.map(plain) for one in content.findings[1:]),
        # Relative to where the command was run: the runbook's commands run in the workspace.
        checkpoint=_resolved(workspace / made.checkpoint) if made.checkpoint else None,
        iteration=made.iteration,
        images=made.samples,
        split_images=made.split_samples,
        written=changed_ns / 1e9,
        shares=_shares(content.predictions or _Predictions()),
    )


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, a circle of links
        return None


def _shares(found: _Predictions) -> dict[str, ClassShare]:
    return {
        plain(name): ClassShare(found.share_truth.get(name), found.share_predicted.get(name), one.TP + one.FN)
        for name, one in found.counts.items()
    }


def _plain_lines(text: str) -> str:
    return plain(text, keep="\n")
