"""A run as a report sees it: metrics, best evaluation, configuration. Imports nothing heavy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.manifest import read_manifest
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.metrics.integrity import remarks
from diffbev_engine.runs.metrics.table import MetricsTable, Row

LOSSES = ("loss", "Lwce", "Ldepth", "Ldiff")
LAST_ROWS = 100
"""Training rows over which a last loss is averaged."""


@dataclass(frozen=True)
class LastLoss:
    """The mean of a loss over the last training rows."""

    mean: float
    rows: int
    """How many rows: ``LAST_ROWS``, or fewer where the run is shorter."""


@dataclass(frozen=True)
class Experiment:
    """One run under the name it has in the report."""

    name: str
    folder: RunFolder
    source: Path
    """The ``metrics.csv``."""
    metrics: MetricsTable

    @cached_property
    def best(self) -> Row | None:
        """The evaluation with the highest mIoU, the earliest of equals; ``None`` before the first one."""
        series = self.metrics.series("mIoU")
        if not series.values:
            return None
        step = series.steps[series.values.index(max(series.values))]
        return next(row for row in self.metrics.evaluations() if row.step == step)

    @property
    def best_miou(self) -> float | None:
        """The highest mIoU, 0 to 1."""
        return self.best.values["mIoU"] if self.best else None

    def best_iou(self, class_name: str) -> float | None:
        """IoU of a class at the best step; ``None`` where no label has the class."""
        return self.best.values.get(f"IoU/{class_name}") if self.best else None

    @property
    def best_checkpoint(self) -> Path | None:
        """The checkpoint of the best evaluation, if it was kept."""
        if self.best is None:
            return None
        kept = (self.folder.best, self.folder.checkpoint(self.best.step))
        return next((path for path in kept if path.exists()), None)

    def last_loss(self, name: str) -> LastLoss | None:
        """Mean of a loss over its last rows; ``None`` when this run did not log it."""
        last = self.metrics.series(name).values[-LAST_ROWS:]
        return LastLoss(sum(last) / len(last), len(last)) if last else None

    @cached_property
    def run(self) -> RunReport | None:
        """What has become of the run; ``None`` for a metrics.csv without a run directory."""
        try:
            return inspect_run(self.folder.path)
        except DiffBEVError:
            return None

    @property
    def state(self) -> str | None:
        """What the run is doing, or how it ended, in a word."""
        return (self.run.activity or self.run.state.value) if self.run else None

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """The resolved configuration of ``run.json``, flattened to dotted keys; empty without it."""
        manifest = read_manifest(self.folder)
        return dict(_flat(manifest.config)) if manifest else {}

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know, one sentence each."""
        metrics = self.metrics
        found = [remark.en for remark in remarks(metrics)]
        for name in LOSSES:
            step = metrics.first_not_finite(name)
            if step is not None:
                found.append(f"{name} was NaN or infinite, for the first time at step {step}.")
        if self.best is None:
            found.append("No evaluation yet: the first one comes at step evaluation.interval.")
        best_step = self.run.best_step if self.run else None
        if self.best and best_step is not None and best_step != self.best.step:
            found.append(f"status.json names step {best_step} as the best one, metrics.csv {self.best.step}.")
        return found


def load_experiments(runs: Sequence[Path], names: Sequence[str] = ()) -> list[Experiment]:
    """Read the metrics of ``runs``.

    Args:
        runs: run directories, or the ``metrics.csv`` in them.
        names: one per run; none at all: the folders' names, with as many parents as tell them apart.

    Raises:
        DiffBEVError: a ``metrics.csv`` that is missing or cannot be read.
        UsageError: names that do not fit the runs.
    """
    if names and len(names) != len(runs):
        raise UsageError(
            f"--experiment-names has {len(names)} names for {len(runs)} runs. Give one name per run."
        )
    names = names or _folder_names(runs)
    repeated = [name for name in names if list(names).count(name) > 1]
    if repeated:
        raise UsageError(
            f"two runs are called {repeated[0]!r}: name them with --experiment-names, one name per run."
        )
    folders = [run.parent if run.is_file() else run for run in runs]
    return [
        Experiment(
            name, RunFolder(folder), folder / "metrics.csv" if folder == run else run, read_metrics(run)
        )
        for run, folder, name in zip(runs, folders, names, strict=True)
    ]


def _folder_names(runs: Sequence[Path]) -> list[str]:
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", json.dumps(value, ensure_ascii=False, default=str)))
    return pairs
