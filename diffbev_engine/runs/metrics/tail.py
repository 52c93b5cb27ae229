"""Follows a ``metrics.csv`` that grows: the newest rows at once, then all, then what is appended.

Imports nothing heavy.

Nothing here waits: each call reads one piece of the file.  What has happened to the file (half written,
truncated, replaced, rewritten, missing) is kept as ``notice``.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runs.metrics.dialect import HEAD, encoding_of, header_of, lines_of, text_of, whole_lines
from diffbev_engine.runs.metrics.integrity import not_opened
from diffbev_engine.runs.metrics.rows import RowReader
from diffbev_engine.runs.metrics.table import MetricsTable, is_score

CHUNK_BYTES = 1 << 19
"""Small, so that the thread that reads lets the one that draws in between."""
PREVIEW_BYTES = 1 << 20
_FINGERPRINT_BYTES = 256

FIRST_COLUMNS = ("loss",)


class Trouble(str, Enum):
    """What has happened to the file."""

    MISSING = "missing"
    """Not written yet, or deleted."""
    UNREADABLE = "unreadable"
    """The system refuses."""
    NO_HEADER = "no_header"
    """Not a metrics.csv of ours; the detail states what to do."""
    DROPPED = "dropped"
    """Rewritten with fewer rows, as by a resumed run."""
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    REPLACED = "replaced"
    """Another run's file is there now."""


@dataclass(frozen=True)
class Notice:
    """Something to say about the file."""

    trouble: Trouble
    detail: Bilingual = EMPTY
    step: int | None = None
    """The last step that is left."""
    rows: int = 0
    """Rows that were dropped."""


class MetricsTail:
    """Follows one ``metrics.csv``; all calls from one thread."""

    def __init__(
        self, path: Path, columns: Iterable[str] = FIRST_COLUMNS, *, newest_only: bool = False
    ) -> None:
        """Nothing is read yet.

        Args:
            path: the file, which need not exist yet.
            columns: the training columns to keep, each of which takes time and memory; scores are
                always kept.
            newest_only: of a large file, read only the newest rows and those that follow.
        """
        self.path = path
        self._newest_only = newest_only
        self._columns = dict.fromkeys(columns)
        self.table = MetricsTable(self._columns)
        """What a screen shows: a preview until all is read, then everything."""
        self.notice: Notice | None = None
        self.modified: float | None = None
        """When the file last changed; Unix time."""
        self._known_resumes: list[int] = []
        self._tables = 1
        """How many have been shown."""
        self._start_over()

    def _start_over(self) -> None:
        self._reader = RowReader(MetricsTable(self._columns))
        self._encoding = ""
        self._offset = 0
        self._seen: tuple[int, int, int] | None = None
        self._identity: tuple[int, int] | None = None
        self._fingerprint = b""
        self._size = 0
        self._more = False
        self._complete = False
        self._previewed = False

    @property
    def available(self) -> tuple[str, ...]:
        """The columns of the file that hold numbers."""
        return self._reader.table.columns or self.table.columns

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever the table shows something else."""
        return self._tables, self.table.version

    @property
    def epoch(self) -> tuple[int, int]:
        """Changes whenever rows were not just appended."""
        return self._tables, self.table.cuts

    @property
    def progress(self) -> float:
        """The share of the file that has been read; a last row that is half written is not waited for."""
        return min(self._offset / self._size, 1.0) if self._more and self._size else 1.0

    @property
    def complete(self) -> bool:
        """Whether everything that is in the file is shown."""
        return self._complete

    @property
    def resumes(self) -> list[int]:
        """Steps at which the run was resumed, as far as the file or its changes told."""
        return sorted({*self._known_resumes, *self.table.resumes})

    def want(self, columns: Iterable[str]) -> None:
        """Keep these columns too; the file is read again if one is new."""
        new = [name for name in columns if name not in self._columns and not is_score(name)]
        if new:
            self._columns |= dict.fromkeys(new)
            self._start_over()

    def advance(self) -> bool:
        """Check the file and read one piece of it; whether there is more to read now."""
        self._more = False
        try:
            stat = self.path.stat()
            self.modified = stat.st_mtime
            self._detect(stat)
            if self._seen != (stat.st_ino, stat.st_size, stat.st_mtime_ns):
                with open_regular(self.path) as file:
                    self._more = self._read_piece(file.fileno(), stat)
        except OSError as error:
            trouble = Trouble.MISSING if isinstance(error, FileNotFoundError) else Trouble.UNREADABLE
            self.notice = Notice(trouble, not_opened(self.path, error).text)
        return self._more

    def _detect(self, stat: os.stat_result) -> None:
        """Start over where the file is not the one that was read so far."""
        if self.notice and self.notice.trouble in (Trouble.MISSING, Trouble.UNREADABLE):
            self.notice = None
        identity = (stat.st_dev, stat.st_ino)
        if self._identity not in (None, identity):
            self._begin_again(Trouble.REPLACED)
        elif stat.st_size < self._offset:
            self._begin_again(Trouble.TRUNCATED)
        self._identity, self._size = identity, stat.st_size

    def _begin_again(self, why: Trouble) -> None:
        self._start_over()
        self._previewed = True  # what was there stays in view until all of the new file is read
        self.notice = Notice(why)

    def _read_piece(self, file: int, stat: os.stat_result) -> bool:
        if self._fingerprint and self._differs(file):
            self._begin_again(Trouble.REWRITTEN)
            self._identity, self._size = (stat.st_dev, stat.st_ino), stat.st_size
        if not self._offset:
            self._encoding = encoding_of(os.pread(file, HEAD, 0))
        if not self._previewed and stat.st_size > PREVIEW_BYTES + CHUNK_BYTES:
            self._preview(file, stat.st_size)
            return True
        content = os.pread(file, min(CHUNK_BYTES, max(stat.st_size - self._offset, 0)), self._offset)
        end = whole_lines(content, self._encoding)  # a last line without newline is still being written
        if end:
            self._reader.take(text_of(content[:end], self._encoding))
        elif len(content) == CHUNK_BYTES:
            end = len(content)  # no row is half a megabyte long
            self._reader.take("?\n")
        if end:
            self._offset += end
            self._fingerprint = content[max(end - _FINGERPRINT_BYTES, 0) : end]
            if self._offset < stat.st_size:
                return True
        self._seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        self._all_read()
        return False

    def _differs(self, file: int) -> bool:
        size = len(self._fingerprint)
        return os.pread(file, size, self._offset - size) != self._fingerprint

    def _preview(self, file: int, size: int) -> None:
        """The newest rows, which are what a screen shows first."""
        self._previewed = True
        head = lines_of(os.pread(file, HEAD, 0), self._encoding)
        header = next((found for line in head if (found := header_of(line))), None)
        begin = (size - PREVIEW_BYTES) // 4 * 4
        content = os.pread(file, size - begin, begin)
        end = whole_lines(content, self._encoding)
        text = text_of(content[:end], self._encoding).partition("\n")[2]
        if header is None or not text:
            return
        reader = RowReader(MetricsTable(self._columns), header)
        reader.take(text)
        self._show(reader.table)
        if self._newest_only:
            self._reader = reader
            self._offset = begin + end
            self._fingerprint = content[max(end - _FINGERPRINT_BYTES, 0) : end]

    def _show(self, table: MetricsTable) -> None:
        self.table = table
        self._tables += 1

    def _all_read(self) -> None:
        table, shown = self._reader.table, self.table
        if table is not shown:
            self._say_what_changed(shown, table)
            self._show(table)
        fault = self._reader.fault(self.path) if self._offset and not table.columns else None
        if fault is not None:
            self.notice = Notice(Trouble.NO_HEADER, fault.text)
        self._complete = True

    def _say_what_changed(self, before: MetricsTable, now: MetricsTable) -> None:
        if self.notice is None or not len(before):
            return
        if not len(now) or now.last_step >= before.last_step or not _begins_like(before, now):
            self._known_resumes = []
            self.notice = Notice(self.notice.trouble, step=now.last_step if len(now) else None)
            return
        self._known_resumes = [step for step in self.resumes if step < now.last_step] + [now.last_step]
        self.notice = Notice(Trouble.DROPPED, step=now.last_step, rows=max(len(before) - len(now), 0))


def _begins_like(before: MetricsTable, now: MetricsTable) -> bool:
    """Whether the rows that are left are the earlier ones."""
    loss = now.series("loss").values
    return (
        now.training.steps == before.training.steps[: len(now.training)]
        and loss == before.series("loss").values[: len(loss)]
    )
