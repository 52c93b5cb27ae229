"""``metrics.csv`` as plots, tables and screens want it, in whatever state the file is. Light.

A reader meets files that are being written, that a crash cut short, that were resumed by programs
which do not drop rows first, or whose header was written anew when a column appeared. Whatever can
be read is used, and what had to be left out is counted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError

_TEXT_COLUMNS = ("step", "mode", "phase")
_EVALUATION_MODES = ("eval", "val", "test")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Row:
    """One logged training step or evaluation."""

    step: int
    values: Mapping[str, float]
    """By column; blank cells are absent, a logged NaN or infinity is kept."""


@dataclass(frozen=True)
class Series:
    """The finite values of one column, steps strictly increasing."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Metrics:
    """What a ``metrics.csv`` says, steps increasing in both parts."""

    path: Path
    training: Sequence[Row]
    evaluation: Sequence[Row]
    unreadable: Sequence[int] = ()
    """Numbers of the lines, counted from 1, that are no rows and were left out."""
    superseded: int = 0
    """Rows left out because a resumed run went through their step again."""

    @property
    def last_step(self) -> int:
        """The last step that was logged or evaluated."""
        return max(rows[-1].step for rows in (self.training, self.evaluation) if rows)

    def series(self, column: str) -> Series:
        """The finite values of ``column``; empty when this run did not log it."""
        found = [
            (row.step, row.values[column])
            for row in self._rows_of(column)
            if math.isfinite(row.values.get(column, math.nan))
        ]
        return Series(tuple(step for step, _ in found), tuple(value for _, value in found))

    def first_not_finite(self, column: str) -> int | None:
        """The first step at which ``column`` was logged as NaN or infinite."""
        rows = self._rows_of(column)
        return next((row.step for row in rows if not math.isfinite(row.values.get(column, 0.0))), None)

    def _rows_of(self, column: str) -> Sequence[Row]:
        return self.evaluation if _belongs_to_evaluation(column) else self.training


def read_metrics(path: Path, most: int | None = None) -> Metrics:
    """Read a ``metrics.csv``.

    A row that goes back in ``step`` is taken as the sign of a resumed run: it replaces the earlier
    rows from that step on. A last line without its newline is still being written and is left out.

    Args:
        path: the file, or the run directory that holds it.
        most: bytes to read at most, half of them from each end of a larger file: enough to judge it,
            not to plot it.

    Raises:
        DiffBEVError: no such file, nothing in it, or no row of it can be read.
    """
    path = path / "metrics.csv" if path.is_dir() or path.suffix != ".csv" else path
    lines = _whole_lines(path, most)
    reading = _Reading(path)
    for number, line in enumerate(lines, start=1):
        reading.take(number, line)
    return reading.result()


@dataclass
class _Reading:
    """The file so far."""

    path: Path
    header: list[str] = field(default_factory=list)
    training: list[Row] = field(default_factory=list)
    evaluation: list[Row] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    superseded: int = 0
    first_line: str = ""

    def take(self, number: int, line: str) -> None:
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if not line.strip():
            return
        self.first_line = self.first_line or line
        if "step" in cells:
            self.header = [_our_name(cell) for cell in cells]
            return
        row = _parse_row(self.header, cells)
        if row is None:
            self.unreadable.append(number)
            return
        rows = self.evaluation if _is_evaluation(self.header, cells) else self.training
        if rows and row.step <= rows[-1].step:
            self._go_back_to(row.step)
        rows.append(row)

    def _go_back_to(self, step: int) -> None:
        for rows in (self.training, self.evaluation):
            while rows and rows[-1].step >= step:
                rows.pop()
                self.superseded += 1

    def result(self) -> Metrics:
        if not self.header:
            raise DiffBEVError(
                f"{self.path} is damaged: no line of it is a header with a column 'step'; it begins with "
                f"{self.first_line[:_SHOWN_CHARACTERS]!r}. {_REMEDY}"
            )
        if not self.training and not self.evaluation:
            if self.unreadable:
                raise DiffBEVError(
                    f"{self.path} is damaged: none of its {len(self.unreadable)} rows can be read, "
                    f"the first is line {self.unreadable[0]}. {_REMEDY}"
                )
            raise DiffBEVError(
                f"{self.path} has a header but no row yet. Training writes the first row at "
                f"iteration log_config.interval. Wait for it, or check the latest train_*.log in "
                f"the same directory for errors."
            )
        return Metrics(self.path, self.training, self.evaluation, self.unreadable, self.superseded)


_REMEDY = (
    "Restore it from a copy; or move it away and continue the run with --resume, which begins a new one."
)


def _whole_lines(path: Path, most: int | None) -> Iterable[str]:
    if not path.parent.is_dir():
        raise DiffBEVError(
            f"no run directory {path.parent}. Check the path, or train a model into it: "
            f"diffbev-engine train CONFIG --work-dir {path.parent}"
        )
    try:
        text = _both_ends(path, most).decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise DiffBEVError(
            f"no metrics.csv in {path.parent}. Training writes it as it starts: check that this is a run "
            "directory, and look for an error in the newest train_*.log there."
        ) from None
    except OSError as error:
        raise DiffBEVError(f"cannot read {path}: {error.strerror or error}.") from error
    if "\0" in text and not text.strip("\0\r\n \t"):
        raise DiffBEVError(
            f"{path} is damaged: it holds nothing but zero bytes, as a crash of the machine leaves. {_REMEDY}"
        )
    if not text.strip():
        raise DiffBEVError(f"{path} is empty. Check the latest train_*.log in the same directory for errors.")
    return (line.rstrip("\r") for line in text.split("\n")[:-1])


def _both_ends(path: Path, most: int | None) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if most is None or size <= most:
            return file.read()
        head = file.read(most // 2)
        file.seek(size - most // 2)
        tail = file.read()
    return head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :]


def _parse_row(header: list[str], cells: list[str]) -> Row | None:
    """The row, or ``None`` for a line that is none."""
    if len(cells) != len(header):
        return None
    step, values = None, {}
    for column, cell in zip(header, cells, strict=True):
        if column == "step":
            step = _number(cell)
        elif column not in _TEXT_COLUMNS and cell:
            value = _number(cell)
            if value is None:
                return None
            values[column] = value
    if step is None or not math.isfinite(step) or step < 0 or step != int(step):
        return None
    return Row(int(step), values)


def _is_evaluation(header: list[str], cells: list[str]) -> bool:
    named = dict(zip(header, cells, strict=True))
    mode = named.get("mode", "")
    return mode in _EVALUATION_MODES or (mode != "train" and named.get("mIoU", "") != "")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _our_name(column: str) -> str:
    """Older programs write ``IoU_car`` for ``IoU/car``."""
    return "IoU/" + column[len("IoU_") :] if column.startswith("IoU_") else column


def _belongs_to_evaluation(column: str) -> bool:
    return column == "mIoU" or column.startswith("IoU/")
