"""Per-class IoU of a run's evaluations, and what changed since."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.table import Row
from diffbev_engine.runs.metrics.tail import MetricsTail, Notice
from diffbev_tui.i18n import language

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
    """The table, or in words why there is none; "" for a run that was not evaluated yet."""
    rows, notice = evaluations(RunFolder(run).metrics)
    if not rows:
        return notice.detail[language()] if notice is not None else ""
    others = evaluations(RunFolder(other).metrics)[0] if other is not None else []
    compared = others[-1] if others else None
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


def evaluations(path: Path) -> tuple[list[Row], Notice | None]:
    """The evaluations in a ``metrics.csv``, steps increasing, and what has happened to the file.

    Files that were read before are followed: only what is new is read.
    """
    with _lock:
        tail = _followed.pop(path, None) or MetricsTail(path, ())
        _followed[path] = tail
        while len(_followed) > _MOST_FOLLOWED:
            del _followed[next(iter(_followed))]
        while tail.advance():
            pass
        return tail.table.evaluations(), tail.notice


_lock = Lock()
_followed: dict[Path, MetricsTail] = {}
_MOST_FOLLOWED = 8


def _minus(value: float | None, row: Row | None, column: str) -> float | None:
    values: Mapping[str, float] = row.values if row is not None else {}
    return None if value is None or column not in values else value - values[column]
