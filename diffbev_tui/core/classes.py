"""Per-class IoU of a run's evaluations, and what changed since."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.classes import CLASSES
from diffbev_engine.errors import DiffBEVError
from diffbev_engine.runs.metrics_reader import Row, read_metrics

_TREND = 12


@dataclass(frozen=True)
class ClassScore:
    """One class; ``None`` where it does not occur or was not evaluated."""

    name: str
    iou: float | None
    change: float | None
    """Since the evaluation before."""
    against: float | None
    """Difference to the compared run's newest evaluation."""
    trend: tuple[float, ...]


@dataclass(frozen=True)
class ClassTable:
    """The newest evaluation of a run."""

    step: int
    before: int | None
    """Step of the evaluation before."""
    miou: ClassScore
    classes: tuple[ClassScore, ...]
    against_step: int | None
    best: tuple[int, float] | None
    """Step and mIoU of the best evaluation."""


def class_table(run: Path, other: Path | None = None) -> ClassTable | str:
    """The table, or in words why there is none."""
    try:
        rows = read_metrics(run).evaluation
    except DiffBEVError as error:
        return str(error)
    if not rows:
        return ""
    compared: Row | None = None
    if other is not None:
        try:
            evaluations = read_metrics(other).evaluation
            compared = evaluations[-1] if evaluations else None
        except DiffBEVError:
            compared = None
    newest, before = rows[-1], rows[-2] if len(rows) > 1 else None

    def score(name: str, column: str) -> ClassScore:
        iou = newest.values.get(column)
        trend = tuple(row.values[column] for row in rows[-_TREND:] if column in row.values)
        return ClassScore(name, iou, _minus(iou, before, column), _minus(iou, compared, column), trend)

    scored = [(row.step, row.values["mIoU"]) for row in rows if "mIoU" in row.values]
    return ClassTable(
        newest.step,
        before.step if before else None,
        score("mIoU", "mIoU"),
        tuple(score(name, f"IoU/{name}") for name in CLASSES),
        compared.step if compared else None,
        max(scored, key=lambda one: one[1], default=None),
    )


def _minus(value: float | None, row: Row | None, column: str) -> float | None:
    values: Mapping[str, float] = row.values if row is not None else {}
    return None if value is None or column not in values else value - values[column]
