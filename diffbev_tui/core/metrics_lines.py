"""Lines of a ``metrics.csv`` into a table: whole blocks at once, irregular ones line by line. Light."""

from array import array
from collections.abc import Collection
from dataclasses import dataclass
from itertools import compress, islice
from math import isfinite
from operator import lt, methodcaller

from diffbev_tui.core.metrics_table import Cells, MetricsTable, Rows, cells_of

_TEXT_COLUMNS = ("step", "mode", "phase")
_EVALUATION_MODES = (b"eval", b"val", b"test")
_CERTAIN_MODES = {b"train", *_EVALUATION_MODES}
_commas = methodcaller("count", b",")


@dataclass(frozen=True)
class Header:
    """The columns that the rows below a header line have."""

    names: tuple[str, ...]

    @property
    def step(self) -> int:
        """Where the step stands."""
        return self.names.index("step")

    def place(self, name: str) -> int | None:
        """Where a column stands; ``None`` if these rows do not have it."""
        return self.names.index(name) if name in self.names else None


def header_of(line: bytes) -> Header | None:
    """The header that ``line`` is, if it is one."""
    cells = _cells(line)
    if b"step" not in cells:
        return None
    names = (cell.decode("utf-8", "replace") for cell in cells)
    # Older programs write IoU_car for IoU/car.
    return Header(tuple("IoU/" + name[4:] if name.startswith("IoU_") else name for name in names))


class LineReader:
    """Puts lines, in the order of the file, into a table."""

    def __init__(self, table: MetricsTable, header: Header | None = None) -> None:
        self.table = table
        self.header = header

    def take(self, text: bytes) -> None:
        """Take whole lines, each with its newline."""
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        if self.header is None:
            text = self._up_to_header(text)
        if not text:
            return
        self.table.version += 1
        if self.header is None or not self._take_block(text, self.header):
            for line in text.split(b"\n")[:-1]:
                self._take_line(line)

    def _up_to_header(self, text: bytes) -> bytes:
        """What follows the header line; without one all of it, line by line."""
        line, newline, rest = text.partition(b"\n")
        self.header = header_of(line.removeprefix(b"\xef\xbb\xbf")) if newline else None
        return rest if self.header is not None else text

    def _take_block(self, text: bytes, header: Header) -> bool:
        """Take rows that look as this project writes them; whether they did, else nothing was taken."""
        if b'"' in text or b" " in text or b"\t" in text or b"\r" in text:
            return False
        width = len(header.names)
        cells = text[:-1].replace(b"\n", b",").split(b",")
        if not _aligned(header, cells, text):
            return False
        try:
            steps = array("q", map(int, cells[header.step :: width]))
            evaluated = _evaluation_rows(header, cells)
            kinds = self._block_of_each_kind(header, cells, steps, evaluated)
        except (ValueError, OverflowError):
            return False
        if not all(_goes_on(rows, block_steps) for rows, block_steps, _ in kinds):
            return False
        for rows, block_steps, columns in kinds:
            rows.extend(block_steps, columns)
        row = next((row for row in range(len(steps) - 1, -1, -1) if row not in evaluated), None)
        if row is not None:
            self._keep_newest(header, cells[row * width : (row + 1) * width])
        return True

    def _keep_newest(self, header: Header, cells: list[bytes]) -> None:
        self.table.newest = dict(zip(header.names, cells, strict=True))

    def _block_of_each_kind(
        self, header: Header, cells: list[bytes], steps: "array[int]", evaluated: list[int]
    ) -> list[tuple[Rows, "array[int]", dict[str, Cells]]]:
        training, evaluation = self.table.training, self.table.evaluation
        if not evaluated:
            return [(training, steps, _columns(header, cells, training.columns, steps))]
        chosen = bytearray(len(steps))
        for row in evaluated:
            chosen[row] = 1
        blocks = []
        for rows, mask in ((training, [not one for one in chosen]), (evaluation, chosen)):
            of_kind = array("q", compress(steps, mask))
            blocks.append((rows, of_kind, _columns(header, cells, rows.columns, of_kind, mask)))
        return blocks

    def _take_line(self, line: bytes) -> None:
        if not line.strip():
            return
        header = header_of(line.removeprefix(b"\xef\xbb\xbf"))
        if header is not None:
            self.header = header
            return
        if self.header is None or not self._take_row(self.header, _cells(line)):
            self.table.unreadable += 1

    def _take_row(self, header: Header, cells: list[bytes]) -> bool:
        if len(cells) != len(header.names):
            return False
        try:
            step = float(cells[header.step])
            for name, cell in zip(header.names, cells, strict=True):
                if cell and name not in _TEXT_COLUMNS:
                    float(cell)
        except ValueError:
            return False
        if not isfinite(step) or step < 0 or step != int(step) or step >= 2**63:
            return False
        steps = array("q", [int(step)])
        rows = self.table.evaluation if _evaluation_rows(header, cells) else self.table.training
        if steps[0] <= rows.last:
            self.table.go_back_to(steps[0])
        rows.extend(steps, _columns(header, cells, rows.columns, steps))
        if rows is self.table.training:
            self._keep_newest(header, cells)
        return True


def _aligned(header: Header, cells: list[bytes], text: bytes) -> bool:
    """Whether every line has the columns of the header."""
    width, mode = len(header.names), header.place("mode")
    if len(cells) != width * text.count(b"\n"):
        return False
    if mode is not None and set(cells[mode::width]) <= _CERTAIN_MODES:
        return True  # a line too long and one too short would have put something else there, or no step
    return set(map(_commas, text[:-1].split(b"\n"))) == {width - 1}


def _columns(
    header: Header,
    cells: list[bytes],
    names: Collection[str],
    steps: "array[int]",
    mask: Collection[int] | None = None,
) -> dict[str, Cells]:
    found = {}
    for name in names:
        place = header.place(name)
        if place is not None:
            column = cells[place :: len(header.names)]
            found[name] = cells_of(column if mask is None else list(compress(column, mask)), steps)
    return found


def _evaluation_rows(header: Header, cells: list[bytes]) -> list[int]:
    """Numbers of the rows that evaluations wrote."""
    width, mode, miou = len(header.names), header.place("mode"), header.place("mIoU")
    modes = cells[mode::width] if mode is not None else [b""] * (len(cells) // width)
    if modes.count(b"train") == len(modes):
        return []
    scores = cells[miou::width] if miou is not None else [b""] * len(modes)
    return [
        row
        for row, mode in enumerate(modes)
        if mode != b"train" and (mode in _EVALUATION_MODES or scores[row])
    ]


def _goes_on(rows: Rows, steps: "array[int]") -> bool:
    """Whether the steps increase, from the last one that is there."""
    return not steps or (steps[0] > rows.last and all(map(lt, steps, islice(steps, 1, None))))


def _cells(line: bytes) -> list[bytes]:
    return [cell.strip().strip(b'"') for cell in line.split(b",")]
