"""Rows of ``metrics.csv`` as trackers take them: numbers under tags, in the order of the iterations."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan

from diffbev_engine.runs.metrics.dialect import COLUMNS
from diffbev_engine.runs.metrics.table import MetricsTable, Rows, is_score

NUMBERS = tuple(name for name in COLUMNS if name not in ("step", "mode", "phase"))
"""The columns that are sent."""
_ROOMS = {"images_per_s": "speed", "gpu_mem_mb": "gpu"}


@dataclass(frozen=True)
class Logged:
    """One row; NaN stands for infinity too."""

    step: int
    evaluation: bool
    values: dict[str, float]
    """By tag."""


@dataclass(frozen=True)
class Position:
    """The last iterations whose rows a tracker has; -1 for none."""

    training: int = -1
    evaluation: int = -1

    @property
    def last(self) -> int:
        """The later of the two."""
        return max(self.training, self.evaluation)

    def after(self, row: Logged) -> "Position":
        """The position once ``row`` is there."""
        if row.evaluation:
            return Position(self.training, row.step)
        return Position(row.step, self.evaluation)


def tag_of(column: str) -> str:
    """``train/loss``, ``val/mIoU``, ``val/IoU/car``, ``speed/images_per_s``, ``gpu/gpu_mem_mb``."""
    return f"{'val' if is_score(column) else _ROOMS.get(column, 'train')}/{column}"


def rows_after(position: Position, table: MetricsTable, until: float = inf) -> Iterator[Logged]:
    """The rows that come after ``position``, up to iteration ``until``; of one iteration training first."""
    rows = [
        *_rows(table.training, position.training, until, evaluation=False),
        *_rows(table.evaluation, position.evaluation, until, evaluation=True),
    ]
    yield from sorted(rows, key=lambda row: (row.step, row.evaluation))


def _rows(rows: Rows, after: int, until: float, *, evaluation: bool) -> Iterator[Logged]:
    found: dict[int, dict[str, float]] = {}
    for name in rows.columns:
        series, tag = rows.series(name), tag_of(name)
        begin, end = bisect_right(series.steps, after), bisect_right(series.steps, until)
        for step, value in zip(series.steps[begin:end], series.values[begin:end], strict=True):
            found.setdefault(step, {})[tag] = value
        for step in rows.not_finite(name):
            if after < step <= until:
                found.setdefault(step, {})[tag] = nan
    for step, values in found.items():
        yield Logged(step, evaluation, values)
