"""The runs of an ablation: their command lines, their folders, and what finished ones found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diffbev_engine.bench.variants import VARIANTS
from diffbev_engine.config.load import load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.classes import CLASS_PRIORS, CLASSES
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.evaluate.result import mious_in_log
from diffbev_engine.models.settings import MEASURED
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.manifest import decode_manifest, read_manifest
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.metrics.table import Row
from diffbev_engine.runs.verdict import RunCondition

_MAY_DIFFER = ("log_config", "checkpoint_config")
"""Settings that no result depends on; ``data.workers_per_gpu`` is another."""

_DEPTH = re.compile(r"abs rel ([\d.]+), RMSE ([\d.]+) m")  # as DepthScores.to_text writes it


@dataclass(frozen=True)
class Training:
    """One variant under one seed."""

    variant: str
    seed: int
    config: str
    overrides: tuple[str, ...]
    settings: Settings
    folder: RunFolder

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.variant} seed {self.seed}"

    @property
    def console(self) -> Path:
        """Everything that the newest start of the training wrote to the terminal."""
        return self.folder.path / "console.log"

    def command(self, gpu: int | None) -> list[str]:
        """The command line after ``diffbev-engine``; it starts the training or continues it."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        device = [] if gpu is None else ["--gpu-ids", str(gpu)]
        # What was killed before its first checkpoint has nothing to resume from, and starts over.
        resume = ["--resume"] if self.folder.checkpoint_files() else []
        return ["train", self.config, "--work-dir", str(self.folder.path), *sets, *device, *resume]


@dataclass(frozen=True)
class Outcome:
    """What a finished training found on the val split."""

    miou: float
    """At its last iteration, 0 to 1."""
    iou: dict[str, float | None]
    """By class name; ``None`` for a class that does not occur."""
    minutes: float
    """From its newest start to its end."""
    device: str
    depth: tuple[float, float] | None = None
    """Mean |error| / truth and RMSE in metres of the lift's depth; ``None`` where it was not measured."""
    masks: dict[str, float] = field(default_factory=dict)
    """mIoU under every ignore mask, as the log rounds it."""


def plan_trainings(
    config: str,
    out: Path,
    *,
    variants: Sequence[str],
    seeds: Sequence[int],
    overrides: Sequence[str],
    data_root: Path,
) -> list[Training]:
    """All runs in the order of their start: every variant of the first seed, then the next seed.

    Raises:
        UsageError: a configuration or override that does not fit, before anything has started.
    """
    return [
        _plan(
            config, out, variant, seed, (*overrides, *VARIANTS[variant], f"data_root={data_root.absolute()}")
        )
        for seed in seeds
        for variant in variants
    ]


def _plan(config: str, out: Path, variant: str, seed: int, overrides: tuple[str, ...]) -> Training:
    overrides = (*overrides, f"seed={seed}")
    settings = load_settings(config, overrides)
    if settings.evaluation.interval > settings.runner.max_iters:  # it would end without an evaluation
        overrides = (*overrides, f"evaluation.interval={settings.runner.max_iters}")
        settings = load_settings(config, overrides)
    return Training(variant, seed, config, overrides, settings, RunFolder(out / variant / f"seed_{seed}"))


def read_outcome(training: Training) -> Outcome | None:
    """The scores of a run that finished all iterations and their last evaluation, else ``None``."""
    folder, last = training.folder, training.settings.runner.max_iters
    try:
        run = inspect_run(folder.path)
    except DiffBEVError:  # not started yet
        return None
    manifest = read_manifest(folder)
    if manifest is None or run.ended is None or (run.state, run.step) != (RunCondition.FINISHED, last):
        return None
    row = _last_evaluation(folder.metrics)
    if row is None or row.step != last or "mIoU" not in row.values:
        return None
    log = _newest_log(folder)
    return Outcome(
        miou=row.values["mIoU"],
        iou={name: row.values.get(f"IoU/{name}") for name in CLASSES},
        minutes=(run.ended - manifest.started_at) / 60,
        device=", ".join(manifest.devices),
        masks=mious_in_log(log),
        depth=_last_depth(log),
    )


def check_same_experiment(training: Training) -> None:
    """Refuse to continue or count a run that was made with other settings.

    Raises:
        UsageError: naming the settings that differ.
    """
    found = decode_manifest(training.folder)
    if found.value is None and not found.problem:
        return
    try:
        before = Settings.model_validate(found.value.config if found.value else {})
    except ValidationError:
        changes = ["they are of another version"]
    else:
        changes = _differences(_relevant(before), _relevant(training.settings))
    if changes:
        raise UsageError(
            f"{training.folder.path} contains a run with different settings "
            f"({'; '.join(changes[:3])}). Choose another --out, or move that directory away."
        )


def _relevant(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude=set(_MAY_DIFFER))
    del values["data"]["workers_per_gpu"]
    return values


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    changes = []
    for key, value in now.items():
        old = before[key]
        if isinstance(old, dict) and isinstance(value, dict):
            changes += _differences(old, value, f"{prefix}{key}.")
        elif value == MEASURED and old != list(CLASS_PRIORS):  # what was measured: numbers
            continue
        elif old != value:
            changes.append(f"{prefix}{key} was {_short(old)}, is {_short(value)}")
    return changes


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _last_evaluation(path: Path) -> Row | None:
    if not path.exists():
        return None
    rows = read_metrics(path, columns=()).evaluations()
    return rows[-1] if rows else None


def _newest_log(folder: RunFolder) -> str:
    logs = sorted(folder.path.glob("train_*.log"))
    return logs[-1].read_text(encoding="utf-8", errors="replace") if logs else ""


def _last_depth(log: str) -> tuple[float, float] | None:
    """What the last evaluation said about depth, which only the log holds."""
    found = _DEPTH.findall(log)
    return (float(found[-1][0]), float(found[-1][1])) if found else None
