"""Rows of a ``metrics.csv`` as columns of numbers in memory, and how lines become rows.

Imports nothing heavy.

A file may be still being written, torn by a crash, resumed by a program that does not drop rows first,
or written by another program. What can be read is used; what is skipped is counted.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import isfinite

from diffbev_engine.runs.metrics.dialect import number


@dataclass(frozen=True, eq=False)
class Series:
    """The finite values of one column, steps strictly increasing; live arrays, not copies."""

    steps: Sequence[int]
    values: Sequence[float]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Row:
    """One evaluation."""

    step: int
    values: Mapping[str, float]
    """By column; only finite ones."""


@dataclass
class Cells:
    """A column, or some new rows of one."""

    values: "array[float]" = field(default_factory=lambda: array("d"))
    """Finite ones only."""
    steps: "array[int] | None" = field(default_factory=lambda: array("q"))
    """Their steps; ``None`` while every row has a value: a million rows keep their steps once."""
    not_finite: "array[int]" = field(default_factory=lambda: array("q"))
    """Steps at which NaN or infinity was logged."""

    def to_shares(self) -> None:
        """Take every value for a percentage."""
        self.values[:] = array("d", [value / 100 for value in self.values])


class Rows:
    """Training rows, or evaluation rows; steps strictly increasing."""

    def __init__(self) -> None:
        self.steps: array[int] = array("q")
        self._columns: dict[str, Cells] = {}

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
        """Append rows whose steps continue from the last one."""
        for name in cells.keys() - self._columns.keys():
            self._columns[name] = Cells(steps=array("q") if self.steps else None)
        for name, column in self._columns.items():
            new = cells.get(name) or Cells()
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

    def series(self, name: str) -> Series:
        """The finite values of a column; empty for one that was not logged or is not kept."""
        column = self._columns.get(name) or Cells()
        return Series(self.steps if column.steps is None else column.steps, column.values)

    def not_finite(self, name: str) -> Sequence[int]:
        """The steps at which NaN or infinity was logged."""
        column = self._columns.get(name)
        return column.not_finite if column is not None else ()

    def to_shares(self) -> None:
        """Take every value for a percentage."""
        for column in self._columns.values():
            column.to_shares()


class MetricsTable:
    """The rows that were read so far."""

    def __init__(self, columns: Iterable[str] | None = None) -> None:
        """Keep these training columns, each of which takes time and memory, or all; scores always."""
        self._kept = None if columns is None else frozenset(columns)
        self.training, self.evaluation = Rows(), Rows()
        self.columns: tuple[str, ...] = ()
        """The columns of the newest header that hold numbers."""
        self.renamed: Mapping[str, str] = {}
        """Columns of another program under our names, with theirs."""
        self.unreadable = 0
        """Lines that are not rows."""
        self.first_unreadable = 0
        """Number of the first of them, counted from 1."""
        self.wider = 0
        """Rows with more cells than the header has columns; those are not read."""
        self.garbled = 0
        """Cells of kept columns that are not numbers."""
        self.superseded = 0
        """Rows that a resumed run logged again."""
        self.percent = False
        """The scores in the file are percentages: they are read as a hundredth."""
        self.resumes: list[int] = []
        """Steps at which the file goes back: a run was resumed there."""
        self.newest: Mapping[str, str] = {}
        """The cells of the newest training row, also of columns that are not kept."""
        self.version = 0
        """Changes when rows are added or dropped."""
        self.cuts = 0
        """Changes when rows that were there have changed."""

    def __len__(self) -> int:
        return len(self.training) + len(self.evaluation)

    @property
    def last_step(self) -> int:
        """The last step that was logged or evaluated; -1 without a row."""
        return max(self.training.last, self.evaluation.last)

    def keeps(self, name: str) -> bool:
        """Whether the values of a column are kept."""
        return self._kept is None or name in self._kept or is_score(name)

    def go_back_to(self, step: int) -> None:
        """A resumed run starts again at ``step``: what follows belongs to an abandoned branch."""
        self.superseded += self.training.cut(step) + self.evaluation.cut(step)
        self.resumes = [earlier for earlier in self.resumes if earlier < step] + [step]
        self.cuts += 1

    def series(self, name: str) -> Series:
        """The finite values of a column."""
        return self._rows_of(name).series(name)

    def evaluations(self) -> list[Row]:
        """Every evaluation with its scores."""
        values: dict[int, dict[str, float]] = {step: {} for step in self.evaluation.steps}
        for name in self.evaluation.columns:
            series = self.evaluation.series(name)
            for step, value in zip(series.steps, series.values, strict=True):
                values[step][name] = value
        return [Row(step, found) for step, found in values.items()]

    def not_finite(self, name: str) -> Sequence[int]:
        """The steps at which a column was logged as NaN or infinite."""
        return self._rows_of(name).not_finite(name)

    def first_not_finite(self, name: str) -> int | None:
        """The first of them."""
        return next(iter(self.not_finite(name)), None)

    def newest_value(self, name: str) -> float | None:
        """What the newest training row says; ``None`` for a blank cell."""
        try:
            return number(self.newest.get(name, ""))
        except ValueError:
            return None

    def has(self, name: str) -> bool:
        """Whether there is anything to draw of a column, as far as is known of one that is not kept."""
        if not self.keeps(name):
            return self.newest_value(name) is not None
        return bool(len(self.series(name))) or bool(self.not_finite(name))

    def add_scores(self, steps: "array[int]", cells: Mapping[str, Cells]) -> None:
        """Append evaluations; a score above 1 shows that all of the file are percentages."""
        if not self.percent and any(value > 1 for one in cells.values() for value in one.values):
            self.percent = True
            self.evaluation.to_shares()
            self.cuts += 1
        if self.percent:
            for one in cells.values():
                one.to_shares()
        self.evaluation.extend(steps, cells)

    def _rows_of(self, name: str) -> Rows:
        return self.evaluation if is_score(name) else self.training


def is_score(name: str) -> bool:
    """Whether a column is measured by evaluations, and higher is better."""
    return name == "mIoU" or name.startswith("IoU/")


def is_loss(name: str) -> bool:
    """Whether a column is a loss: noisy from step to step, so that its trend is worth smoothing."""
    return name == "loss" or (name[:1] == "L" and name[1:2].islower())


def cells_of(texts: list[str], steps: "array[int]", most: float | None) -> tuple[Cells, int]:
    """The cells of a column at ``steps``, and how many are neither blank nor a number from 0 to ``most``."""
    garbled = 0
    values: list[float | None]
    try:
        values = list(map(float, texts))
    except ValueError:
        values = [_number(text) if text else None for text in texts]
        garbled = sum(value is _GARBAGE for value in values)
    if most is not None:
        for place, value in enumerate(values):
            if value is not None and (value < 0 or value > most):
                garbled, values[place] = garbled + 1, _GARBAGE
    return cells_with(values, steps), garbled


def cells_with(values: Sequence[float | None], steps: "array[int]") -> Cells:
    """The cells of a column at ``steps``; ``None`` and garbage count as blank."""
    try:
        if isfinite(sum(values)):  # type: ignore[arg-type]
            return Cells(array("d", values), None)  # type: ignore[arg-type]
    except TypeError:  # None
        if not any(value is not None for value in values):
            return Cells()
    good = [value is not None and isfinite(value) for value in values]  # all where only their sum overflows
    bad = (
        not finite and value is not None and value is not _GARBAGE
        for finite, value in zip(good, values, strict=True)
    )
    return Cells(
        array("d", compress(values, good)),  # type: ignore[arg-type]
        array("q", compress(steps, good)),
        array("q", compress(steps, bad)),
    )


_GARBAGE = float("nan")


def _number(text: str) -> float | None:
    try:
        return number(text)
    except ValueError:
        return _GARBAGE
