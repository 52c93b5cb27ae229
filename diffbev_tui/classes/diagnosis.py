"""What ``diagnose`` found: the verdict, the shares of every class, and of which checkpoint they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.runs.folder import RunFolder

_LARGEST = 16 << 20
"""Bytes."""
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
        return _read(path, workspace, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=8)
def _read(path: Path, workspace: Path, changed_ns: int, _size: int) -> Diagnosis:
    content: dict[str, Any] = json.loads(read_bounded(path, _LARGEST))
    findings = content["findings"]
    first = findings[0] if findings else {}
    made = content.get("provenance") or {}
    checkpoint = made.get("checkpoint")
    return Diagnosis(
        path=path,
        cause=str(content["verdict"]),
        title=_text(first["title"]) if first else same(str(content["verdict"])),
        evidence=tuple(_text(one) for one in first.get("evidence", ())),
        action=_text(first["action"]) if "action" in first else None,
        further=tuple(_text(one["title"]) for one in findings[1:]),
        # Relative to where the command was run: the runbook's commands run in the workspace.
        checkpoint=(workspace / checkpoint).resolve() if checkpoint else None,
        iteration=made.get("iteration"),
        images=made.get("samples"),
        split_images=made.get("split_samples"),
        written=changed_ns / 1e9,
        shares=_shares(content.get("predictions") or {}),
    )


def _shares(predictions: dict[str, Any]) -> dict[str, ClassShare]:
    counts: dict[str, dict[str, int]] = predictions.get("counts", {})
    truth, predicted = predictions.get("share_truth", {}), predictions.get("share_predicted", {})
    return {
        name: ClassShare(truth.get(name), predicted.get(name), one["TP"] + one["FN"])
        for name, one in counts.items()
    }


def _text(data: dict[str, str]) -> Bilingual:
    return Bilingual(str(data["zh"]), str(data["en"]))
