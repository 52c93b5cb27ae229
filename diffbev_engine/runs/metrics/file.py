"""``metrics.csv``: read whole, appended to, continued after a resume. Imports nothing heavy.

Everything that reads, checks or writes such a file goes through here or, while it grows, through
:mod:`tail`; a row means the same to all of them.
"""

import csv
import errno
import io
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from diffbev_engine.core.appending import Appender
from diffbev_engine.core.files import write_text
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.regular_file import open_regular, read_bounded
from diffbev_engine.runs.metrics.dialect import (
    COLUMNS,
    HEAD,
    column_names,
    encoding_of,
    lines_of,
    text_of,
    whole_lines,
)
from diffbev_engine.runs.metrics.integrity import not_opened
from diffbev_engine.runs.metrics.rows import LineParser, RowReader
from diffbev_engine.runs.metrics.table import MetricsTable, Rows

logger = logging.getLogger("diffbev_engine")
_HEADER = ",".join(COLUMNS)
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 20
_LARGEST = 1 << 30
"""Bytes of a file that is read, which a resume holds at once; some seven million rows."""

Value = int | float | str | None


def read_metrics(path: Path, most: int | None = None, columns: Iterable[str] | None = None) -> MetricsTable:
    """Read a ``metrics.csv``.

    A row that goes back in ``step`` is taken as the sign of a resumed run: it replaces the earlier
    rows from that step on. A last line without its newline is still being written and is skipped.

    Args:
        path: the file, or the run directory that holds it.
        most: bytes to read at most, half of them from each end of a larger file: enough to judge it,
            not to plot it.
        columns: the training columns to keep; all unless given. Scores are always kept.

    Raises:
        MetricsError: no such file, nothing in it, or no row of it can be read.
    """
    path = path / "metrics.csv" if path.is_dir() or path.suffix != ".csv" else path
    reader = RowReader(MetricsTable(columns))
    try:
        for text in _texts(path, most):
            reader.take(text)
        if fault := reader.fault(path):
            raise fault
    except OSError as error:
        raise not_opened(path, error) from error
    return reader.table


def _texts(path: Path, most: int | None) -> Iterator[str]:
    """The complete lines of the file, or those at both ends of a larger one."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if most is None and size > _LARGEST:
            raise OSError(errno.EFBIG, f"too large: {byte_size(size)}", str(path))
        encoding = encoding_of(file.read(HEAD))
        file.seek(0)
        left, rest = size if most is None or size <= most else most // 2, b""
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            content = rest + piece
            end = whole_lines(content, encoding)
            rest = content[end:]
            yield text_of(content[:end], encoding)
            if len(rest) > _LONGEST_LINE:  # no row is that long
                rest = b""
                yield "?\n"
        if most is not None and size > most:
            file.seek((size - most // 2) // 4 * 4)
            content = file.read()
            yield text_of(content[: whole_lines(content, encoding)], encoding).partition("\n")[2]


class MetricsWriter:
    """Appends rows to a ``metrics.csv``; the only writer of its run directory."""

    def __init__(self, path: Path, *, keep_until_step: int = 0) -> None:
        """Continue the file after ``keep_until_step``: later rows and a torn last row are dropped.

        A file with more to lose than that is kept under another name, which a warning in the log gives:
        one that is damaged, or whose header is of another version or program.

        Raises:
            MetricsError: the file cannot be read.
        """
        rows: list[str] = []
        if path.exists():
            rows, lost = _rows_until(path, keep_until_step)
            if lost:
                kept = _keep_aside(path, "original" if lost in (_CONVERTED, _FOREIGN) else "damaged")
                logger.warning(
                    f"{path.name}: {lost}. {kept}Training continues with {len(rows):,} of its rows, "
                    f"up to iteration {keep_until_step:,}."
                )
        write_text(path, "".join(f"{line}\n" for line in [_HEADER, *rows]), durable=True)
        self._file = Appender(path)

    def write(self, row: Mapping[str, Value]) -> None:
        """Append one row; columns that do not apply stay blank; a full disk makes it wait."""
        unknown = row.keys() - set(COLUMNS)
        if unknown:
            raise ValueError(f"not columns of metrics.csv: {sorted(unknown)}")
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(_text(row.get(column)) for column in COLUMNS)
        self._file.add(line.getvalue())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_CONVERTED = "converted, because its columns are those of another version or program"
_FOREIGN = "written by another program, without a step column"


def _rows_until(path: Path, step: int) -> tuple[list[str], str]:
    """The rows up to ``step``, and what would be lost without the file they are from; "" for nothing."""
    try:
        content = read_bounded(path, _LARGEST)
    except OSError as error:
        raise not_opened(path, error) from error
    encoding = encoding_of(content[:HEAD])
    lines = lines_of(content[: whole_lines(content, encoding)], encoding)
    parser, kept = LineParser(), []
    for line in lines:
        row = parser.parse(line)
        if parser.header is not None and (not parser.header.own or '"' in line):
            return _converted(lines, step), _CONVERTED
        if row is not None and row[0] <= step:
            kept.append(",".join(row[1]))
    if parser.header is None:
        foreign = any(column_names(line) for line in lines[:1])
        return [], _FOREIGN if foreign else "no row of it can be read"
    if parser.unreadable:
        return kept, f"{parser.unreadable:,} of its lines cannot be read"
    return kept, f"{parser.wider:,} of its rows are wider than the header" if parser.wider else ""


def _converted(lines: list[str], step: int) -> list[str]:
    """The rows up to ``step`` of a file with other columns, as far as they are known by name."""
    reader = RowReader(MetricsTable())
    reader.take("".join(f"{line}\n" for line in lines))
    rows = [
        *((at, 0, cells) for at, cells in _cells_until(reader.table.training, "train", step).items()),
        *((at, 1, cells) for at, cells in _cells_until(reader.table.evaluation, "eval", step).items()),
    ]
    rows.sort(key=lambda row: row[:2])
    return [",".join(cells.get(column, "") for column in COLUMNS) for _, _, cells in rows]


def _cells_until(rows: Rows, mode: str, step: int) -> dict[int, dict[str, str]]:
    found = {at: {"step": str(at), "mode": mode, "phase": mode} for at in rows.steps if at <= step}
    for name in rows.columns:
        series = rows.series(name)
        values = [*zip(series.steps, map(repr, series.values), strict=True)]
        for at, value in values + [(at, "nan") for at in rows.not_finite(name)]:
            if at in found:
                found[at][name] = value
    return found


def _keep_aside(path: Path, why: str) -> str:
    """Give the content of ``path``, which is replaced afterwards, a second name; returns it."""
    if not path.stat().st_size:
        return ""
    name = f"{path.stem}.{why}_{datetime.now():%Y%m%d_%H%M%S}"
    aside, number = path.with_name(f"{name}.csv"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{name}_{number}.csv")
    try:
        os.link(path, aside)
    except OSError:  # a file system without hard links
        shutil.copy2(path, aside)
    return f"The original is kept as {aside.name}. "


def _text(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
