"""The columns of a ``metrics.csv`` in memory: arrays of numbers, appended to and cut. Light."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import isfinite
from typing import NamedTuple


class Curve(NamedTuple):
    """The finite values of one column, steps strictly increasing; live arrays, not copies."""

    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class Cells:
    """One column of some new rows."""

    values: "array[float]"
    """Finite ones only."""
    steps: "array[int] | None" = None
    """Their steps, where not every new row has such a value."""
    not_finite: "array[int]" = field(default_factory=lambda: array("q"))
    """Steps at which NaN or infinity was logged."""


def cells_of(texts: list[bytes], steps: "array[int]") -> Cells:
    """The cells of a column at ``steps``; a blank cell is no value.

    Raises:
        ValueError: a cell is no number.
    """
    try:
        values = array("d", map(float, texts))
    except ValueError:
        if not any(texts):
            return Cells(array("d"), array("q"))
        values = array("d", [float(text) if text else float("nan") for text in texts])
    if isfinite(sum(values)):
        return Cells(values)
    finite = list(map(isfinite, values))
    if all(finite):  # so large that their sum overflows
        return Cells(values)
    bad = (not good and text != b"" for good, text in zip(finite, texts, strict=True))
    return Cells(
        array("d", compress(values, finite)),
        array("q", compress(steps, finite)),
        array("q", compress(steps, bad)),
    )


@dataclass
class _Column:
    values: "array[float]" = field(default_factory=lambda: array("d"))
    steps: "array[int] | None" = field(default_factory=lambda: array("q"))
    """``None`` while every row of the table has a value: a million rows keep their steps once."""
    not_finite: "array[int]" = field(default_factory=lambda: array("q"))


class Rows:
    """Training rows, or evaluation rows."""

    def __init__(self, columns: Iterable[str]) -> None:
        self.steps: array[int] = array("q")
        self._columns = {name: _Column(steps=None) for name in columns}

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> int:
        """The last step; -1 without a row."""
        return self.steps[-1] if self.steps else -1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are kept."""
        return tuple(self._columns)

    def extend(self, steps: "array[int]", cells: Mapping[str, Cells]) -> None:
        """Append rows whose steps go on from the last one."""
        if not steps:
            return
        nothing = Cells(array("d"), array("q"))
        for name, column in self._columns.items():
            new = cells.get(name, nothing)
            if column.steps is None and new.steps is not None:
                column.steps = self.steps[:]
            if column.steps is not None:
                column.steps.extend(steps if new.steps is None else new.steps)
            column.values.extend(new.values)
            column.not_finite.extend(new.not_finite)
        self.steps.extend(steps)

    def cut(self, step: int) -> int:
        """Drop the rows from ``step`` on; how many."""
        row = bisect_left(self.steps, step)
        dropped = len(self.steps) - row
        for column in self._columns.values():
            end = row if column.steps is None else bisect_left(column.steps, step)
            del column.values[end:]
            if column.steps is not None:
                del column.steps[end:]
            del column.not_finite[bisect_left(column.not_finite, step) :]
        del self.steps[row:]
        return dropped

    def curve(self, name: str) -> Curve:
        """The finite values of a column; empty for one that was not logged or is not kept."""
        column = self._columns.get(name)
        if column is None:
            return Curve(array("q"), array("d"))
        return Curve(self.steps if column.steps is None else column.steps, column.values)

    def not_finite(self, name: str) -> Sequence[int]:
        """The steps at which NaN or infinity was logged."""
        column = self._columns.get(name)
        return column.not_finite if column is not None else ()


def is_evaluation_column(name: str) -> bool:
    """Whether a column is measured by evaluations, and higher is better."""
    return name == "mIoU" or name.startswith("IoU/")


class MetricsTable:
    """What has been read of a ``metrics.csv``, with the rules of ``diffbev_engine.runs.metrics_reader``."""

    def __init__(self, training: Iterable[str], evaluation: Iterable[str]) -> None:
        self.training = Rows(training)
        self.evaluation = Rows(evaluation)
        self.unreadable = 0
        """Lines that are no rows."""
        self.superseded = 0
        """Rows that a resumed run went through again."""
        self.resumes: list[int] = []
        """Steps at which the file goes back: there a run was resumed."""
        self.newest: Mapping[str, bytes] = {}
        """The cells of the newest training row, also of columns that are not kept."""
        self.version = 0
        """Another number whenever something was added or dropped."""
        self.cuts = 0
        """Another number whenever something was dropped."""

    def __len__(self) -> int:
        return len(self.training) + len(self.evaluation)

    @property
    def last_step(self) -> int | None:
        """The last step that was logged or evaluated."""
        return max(self.training.last, self.evaluation.last) if len(self) else None

    def go_back_to(self, step: int) -> None:
        """A resumed run starts again at ``step``: what follows it belongs to an abandoned branch."""
        self.superseded += self.training.cut(step) + self.evaluation.cut(step)
        self.resumes = [earlier for earlier in self.resumes if earlier < step] + [step]
        self.version += 1
        self.cuts += 1

    def curve(self, name: str) -> Curve:
        """The finite values of a column."""
        return self._rows_of(name).curve(name)

    def not_finite(self, name: str) -> Sequence[int]:
        """The steps at which a column was logged as NaN or infinite."""
        return self._rows_of(name).not_finite(name)

    def first_not_finite(self, name: str) -> int | None:
        """The first of them."""
        return next(iter(self.not_finite(name)), None)

    def newest_value(self, name: str) -> float | None:
        """What the newest training row says; ``None`` for a blank cell."""
        cell = self.newest.get(name, b"")
        return float(cell) if cell else None

    def has(self, name: str) -> bool:
        """Whether there is anything to draw of a column, as far as can be told of one that is not kept."""
        rows = self._rows_of(name)
        if name not in rows.columns:
            return bool(self.newest.get(name))
        return bool(rows.curve(name).values) or bool(rows.not_finite(name))

    def _rows_of(self, name: str) -> Rows:
        return self.evaluation if is_evaluation_column(name) else self.training
