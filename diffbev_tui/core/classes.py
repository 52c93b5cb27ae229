"""Per-class IoU of a run's evaluations, and what changed since."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.metrics_reader import Row

_TREND = 12
_MARKS = (b",eval,", b",val,", b",test,")


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
    """The table, or in words why there is none; "" for a run that was not evaluated yet."""
    try:
        rows = evaluations(run / "metrics.csv")
    except OSError as error:
        return f"{run / 'metrics.csv'}: {error.strerror or error}"
    if not rows:
        return ""
    try:
        compared = evaluations(other / "metrics.csv")[-1] if other is not None else None
    except (OSError, IndexError):
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


def evaluations(path: Path) -> tuple[Row, ...]:
    """The evaluations in a ``metrics.csv``, steps increasing; training rows are passed over unparsed.

    Raises:
        OSError: no such file, or it cannot be read.
    """
    stat = path.stat()
    return _evaluations(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _evaluations(path: Path, _changed: int, _size: int) -> tuple[Row, ...]:
    rows: dict[int, Row] = {}
    with path.open("rb") as file:
        header = next(csv.reader([file.readline().decode(errors="replace")]), [])
        for line in file:
            if line.endswith(b"\n") and any(mark in line for mark in _MARKS):
                row = _row(header, next(csv.reader([line.decode(errors="replace")]), []))
                if row is not None:
                    rows = {step: one for step, one in rows.items() if step < row.step} | {row.step: row}
    return tuple(rows.values())


def _row(header: list[str], cells: list[str]) -> Row | None:
    named = dict(zip(header, cells, strict=False))
    try:
        step = int(float(named.pop("step")))
    except (KeyError, ValueError):
        return None
    values = {}
    for name, cell in named.items():
        try:
            number = float(cell)
        except ValueError:
            continue
        if math.isfinite(number):
            values[name] = number
    return Row(step, values)


def _minus(value: float | None, row: Row | None, column: str) -> float | None:
    values: Mapping[str, float] = row.values if row is not None else {}
    return None if value is None or column not in values else value - values[column]
