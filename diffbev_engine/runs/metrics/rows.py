"""Lines of a ``metrics.csv`` into a table: what is a training row, an evaluation, a resume.

Imports nothing heavy.

A file may be still being written, torn by a crash, resumed by a program that does not drop rows first,
or written by another program. What can be read is used; what is skipped is counted.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import lt
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.runs.metrics.dialect import (
    EVALUATION_MODES,
    OWN,
    TRAINING_MODES,
    Header,
    header_of,
    number,
    step_of,
)
from diffbev_engine.runs.metrics.integrity import MetricsError, damaged, no_rows, without_header
from diffbev_engine.runs.metrics.own_rows import own_rows
from diffbev_engine.runs.metrics.table import Cells, MetricsTable, Rows, cells_of, cells_with, is_score

_PIECE = 1 << 15
"""Characters whose cells are held as text at a time: few enough for the cache of a processor."""
_FEW = 1 << 11
"""Characters of lines that are read one by one where something is not as usual."""
_END = "\n"


class LineParser:
    """Lines, in the order of the file, as cells below the columns of the newest header."""

    def __init__(self, header: Header | None = None) -> None:
        self.header = header
        self.lines = 0
        self.unreadable = 0
        self.first_unreadable = 0
        self.wider = 0
        """Rows with more cells than the header has columns."""
        self._fits = header is not None  # rows before the middle of a file are not seen

    def parse(self, line: str) -> tuple[int, list[str]] | None:
        """Step and cells of a row; ``None`` for a header, a blank line, and what is neither (counted)."""
        self.lines += 1
        header = self.header
        if header is not None:
            cells = header.split(line)
            if len(cells) == len(header.names):
                try:
                    step = int(cells[header.step])
                except ValueError:
                    return self._irregular(line, cells)
                if 0 <= step < 2**63:
                    self._fits = True
                    return step, cells
            return self._irregular(line, cells)
        return self._irregular(line, [])

    def pass_over(self, rows: int) -> None:
        """Count rows that fit the header and were read without :meth:`parse`."""
        self.lines += rows
        self._fits = True

    def _irregular(self, line: str, cells: list[str]) -> tuple[int, list[str]] | None:
        if not line or line.isspace():
            return None
        header = header_of(line)
        if header is None and line.startswith(("#", "sep=")):
            return None
        if header is None and self.header is None and _is_own_row(line):
            header, cells = OWN, OWN.split(line)
        elif header is not None:
            self.header, self._fits = header, False
            return None
        self.header = header or self.header
        step = self._step(cells)
        if step is None or self.header is None:
            self.unreadable += 1
            self.first_unreadable = self.first_unreadable or self.lines
            return None
        return step, cells[: len(self.header.names)]

    def _step(self, cells: list[str]) -> int | None:
        """The step of a row, which may be wider than its header: columns added without a new one."""
        if self.header is None or len(cells) < len(self.header.names):
            return None
        more = [cell for cell in cells[len(self.header.names) :] if cell]
        if more and not self._fits:
            return None
        try:
            for cell in more:
                number(cell)
        except ValueError:  # two rows in one line
            return None
        self.wider += bool(more)
        return step_of(cells[self.header.step])


def _is_own_row(line: str) -> bool:
    cells = OWN.split(line)
    return len(cells) == len(OWN.names) and cells[0].isdigit() and cells[1] in ("train", "eval")


class _Pending:
    """Rows of one kind whose cells are still text."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.cells: list[list[str]] = []
        self.steps: array[int] = array("q")
        self.last = rows.last
        self.last_cells: list[str] = []

    def append(self, step: int, cells: list[str]) -> None:
        """Add a row."""
        self.steps.append(step)
        self.cells.append(cells)
        self.last = step


class RowReader:
    """Puts lines into a table."""

    def __init__(self, table: MetricsTable, header: Header | None = None) -> None:
        """``header``: the columns of the first lines, where they do not begin with one."""
        self.table = table
        self.parser = LineParser(header)
        self._training, self._evaluation = _Pending(table.training), _Pending(table.evaluation)

    def take(self, text: str) -> None:
        """Take complete lines, each with its ``\\n``."""
        for piece in _pieces(text):
            self._take_piece(piece)
        table, parser = self.table, self.parser
        table.unreadable, table.first_unreadable = parser.unreadable, parser.first_unreadable
        table.wider = parser.wider
        table.version += 1

    def fault(self, path: Path) -> MetricsError | None:
        """Why nothing of the file could be used.

        Raises:
            OSError: the file cannot be read.
        """
        if self.parser.header is None:
            return without_header(path)
        if len(self.table):
            return None
        count, first = self.parser.unreadable, self.parser.first_unreadable
        if not count:
            return no_rows(path)
        return damaged(
            path,
            Bilingual(
                f"{count} 行中没有一行可读，第一行在文件的第 {first} 行",
                f"none of its {count} rows can be read, the first is line {first}",
            ),
        )

    def _take_piece(self, text: str) -> None:
        """Take lines: what is not as usual is narrowed down to a few of them, which are read one by one."""
        if self._take_own_rows(text):
            return
        header = self.parser.header
        middle = text.find(_END, len(text) // 2) if len(text) > _FEW else -1
        if header is not None and header.own and middle >= 0:
            self._take_piece(text[:middle])
            self._take_piece(text[middle + 1 :])
        else:
            self._take_lines(text.split(_END))
            self._flush(self.parser.header)

    def _take_own_rows(self, text: str) -> bool:
        """Take training rows as this program writes them; if they are not, take nothing."""
        header, training = self.parser.header, self._training
        rows = own_rows(text) if header is not None and header.own else None
        if header is None or rows is None:
            return False
        try:
            steps = array("q", rows.steps)
        except OverflowError:
            return False
        if steps[0] <= training.last or not all(map(lt, rows.steps, islice(rows.steps, 1, None))):
            return False
        self.parser.pass_over(len(steps))
        training.last, training.last_cells = steps[-1], text[text.rfind(_END) + 1 :].split(",")
        self._newest(header, training.last_cells)
        kept = (name for name in (header.names[place] for place in header.values) if self.table.keeps(name))
        self.table.training.extend(steps, {name: cells_with(rows.values(name), steps) for name in kept})
        return True

    def _take_lines(self, lines: list[str]) -> None:
        parse, training, header = self.parser.parse, self._training, self.parser.header
        for line in lines:
            row = parse(line)
            if self.parser.header is not header:
                self._flush(header)
                header = self.parser.header
            if row is None or header is None:
                continue
            step, cells = row
            mode = "" if header.mode is None else cells[header.mode]
            if mode != "train":
                self._add_other(header, mode.lower(), step, cells)
            elif step > training.last:
                training.append(step, cells)
            else:
                self._add(training, header, step, cells)

    def _add_other(self, header: Header, mode: str, step: int, cells: list[str]) -> None:
        scored = any(cells[place] for place in header.scores)
        if mode in TRAINING_MODES or not (scored or mode in EVALUATION_MODES):
            self._add(self._training, header, step, cells)
            return
        # Without a mode, one row may hold both a loss and the scores of an evaluation.
        if header.mode is None and any(cells[place] for place in header.values):
            self._add(self._training, header, step, cells)
        self._add(self._evaluation, header, step, cells)

    def _add(self, kind: _Pending, header: Header, step: int, cells: list[str]) -> None:
        if step <= kind.last:
            self._flush(header)
            merged = _merged(kind.last_cells, cells) if step == kind.last and header.mode is None else None
            if merged is not None:
                kind.rows.cut(step)
                self.table.cuts += 1
                cells = merged
            else:
                self.table.go_back_to(step)
                self._training.last = self.table.training.last
                self._evaluation.last = self.table.evaluation.last
        kind.append(step, cells)

    def _flush(self, header: Header | None) -> None:
        """Turn the cells that are pending into numbers."""
        if header is None:
            return
        training, evaluation = self._training, self._evaluation
        self._newest(header, training.cells[-1] if training.cells else None)
        if training.steps:
            self.table.training.extend(training.steps, self._numbers(header, header.values, training))
        if evaluation.steps:
            self.table.add_scores(evaluation.steps, self._numbers(header, header.scores, evaluation))
        for kind in (training, evaluation):
            kind.last_cells = kind.cells[-1] if kind.cells else kind.last_cells
            kind.cells, kind.steps = [], array("q")

    def _newest(self, header: Header, cells: list[str] | None) -> None:
        self.table.columns, self.table.renamed = header.columns, header.renamed
        if cells:
            self.table.newest = dict(zip(header.names, cells, strict=True))

    def _numbers(self, header: Header, places: Iterable[int], kind: _Pending) -> dict[str, Cells]:
        found = {}
        for place in places:
            name = header.names[place]
            if self.table.keeps(name):
                most = (1.0 if header.own else 100.0) if is_score(name) else None
                texts = [cells[place] for cells in kind.cells]
                found[name], garbled = cells_of(texts, kind.steps, most)
                self.table.garbled += garbled if name in OWN.names else 0
        return found


def _pieces(text: str) -> Iterator[str]:
    """Some lines at a time, without the end of the last."""
    start = 0
    while start < len(text):
        end = text.find(_END, start + _PIECE)
        if end < 0:
            end = len(text) - text.endswith(_END)
        yield text[start:end]
        start = end + 1


def _merged(before: list[str], now: list[str]) -> list[str] | None:
    """One row of two at the same step, if they do not contradict each other; else ``None``."""
    both = list(zip(before, now, strict=True)) if len(before) == len(now) else []
    if before == now or any(one and other and one != other for one, other in both):
        return None
    return [one or other for one, other in both] or None
