"""A run's ``metrics.csv`` for a screen: the newest rows at once, then all, then what is appended. Light.

Nothing here waits: each call reads one piece of the file.  What a screen must say about the file
(half written, truncated, replaced, rewritten, missing) is kept as ``notice``.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from diffbev_engine.core.classes import CLASSES
from diffbev_tui.core.metrics_lines import LineReader, header_of
from diffbev_tui.core.metrics_table import MetricsTable, is_evaluation_column

CHUNK_BYTES = 1 << 19
"""Small, so that the thread that reads lets the one that draws in between."""
PREVIEW_BYTES = 1 << 20
_FINGERPRINT_BYTES = 256

FIRST_COLUMNS = ("loss",)
EVALUATION_COLUMNS = ("mIoU", *(f"IoU/{name}" for name in CLASSES))


class Trouble(str, Enum):
    """What has happened to the file."""

    MISSING = "missing"
    """Not written yet, or gone."""
    UNREADABLE = "unreadable"
    """The system refuses."""
    NO_HEADER = "no_header"
    """Something else than a metrics.csv."""
    DROPPED = "dropped"
    """Written anew with fewer rows, as a resumed training does."""
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    REPLACED = "replaced"
    """Another run's file stands there now."""


@dataclass(frozen=True)
class Notice:
    """Something to say about the file."""

    trouble: Trouble
    detail: str = ""
    """What the system says."""
    step: int | None = None
    """The last step that is left."""
    rows: int = 0
    """Rows that are gone."""


class MetricsTail:
    """Follows one ``metrics.csv``; all calls from one thread."""

    def __init__(
        self, path: Path, columns: Iterable[str] = FIRST_COLUMNS, *, newest_only: bool = False
    ) -> None:
        """Nothing is read yet.

        Args:
            path: the file, which need not exist yet.
            columns: the training columns to keep, each of which takes time and memory; those of
                evaluations are always kept.
            newest_only: of a large file, leave it at the newest rows and those that follow.
        """
        self.path = path
        self._newest_only = newest_only
        self._training = tuple(column for column in columns if not is_evaluation_column(column))
        self.table = self._new_table()
        """What a screen shows: a preview until all is read, then everything."""
        self.notice: Notice | None = None
        self.available: tuple[str, ...] = ()
        """The columns in the file's header, but for step, mode and phase."""
        self.modified: float | None = None
        """When the file last changed; Unix time."""
        self._known_resumes: list[int] = []
        self._generation = 0
        self._start_over()

    def _new_table(self) -> MetricsTable:
        return MetricsTable(self._training, EVALUATION_COLUMNS)

    def _start_over(self) -> None:
        self._reader = LineReader(self._new_table())
        self._offset = 0
        self._seen: tuple[int, int, int] | None = None
        self._identity: tuple[int, int] | None = None
        self._fingerprint = b""
        self._size = 0
        self._complete = False
        self._previewed = False
        self._generation += 1

    @property
    def version(self) -> tuple[int, int]:
        """Something else whenever the table shows something else."""
        return self._generation, self.table.version + (self.table is self._reader.table)

    @property
    def epoch(self) -> tuple[int, int]:
        """Something else whenever rows were not just appended."""
        return id(self.table), self.table.cuts

    @property
    def progress(self) -> float:
        """The share of the file that has been read."""
        return min(self._offset / self._size, 1.0) if self._size else 1.0

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
        new = [name for name in columns if name not in self._training and not is_evaluation_column(name)]
        if new:
            self._training += tuple(dict.fromkeys(new))
            self._start_over()

    def advance(self) -> bool:
        """Look at the file and read one piece of it; whether there is more to read now."""
        try:
            stat = self.path.stat()
            self.modified = stat.st_mtime
            self._detect(stat)
            if self._seen == (stat.st_ino, stat.st_size, stat.st_mtime_ns):
                return False
            with self.path.open("rb", buffering=0) as file:
                return self._read_piece(file.fileno(), stat)
        except FileNotFoundError:
            self.notice = Notice(Trouble.MISSING)
        except OSError as error:
            self.notice = Notice(Trouble.UNREADABLE, error.strerror or str(error))
        return False

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
        if not self._previewed and stat.st_size > PREVIEW_BYTES + CHUNK_BYTES:
            self._preview(file, stat.st_size)
            return True
        text = os.pread(file, min(CHUNK_BYTES, max(stat.st_size - self._offset, 0)), self._offset)
        end = text.rfind(b"\n") + 1  # a last line without newline is still being written
        self._reader.take(text[:end])
        if end:
            self._offset += end
            self._fingerprint = text[max(end - _FINGERPRINT_BYTES, 0) : end]
        elif len(text) == CHUNK_BYTES:
            self._offset += len(text)  # no row is half a megabyte long
            self._fingerprint = text[-_FINGERPRINT_BYTES:]
            self._reader.table.unreadable += 1
            return True
        if end and self._offset < stat.st_size:
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
        header = header_of(os.pread(file, 1 << 14, 0).partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf"))
        text = os.pread(file, PREVIEW_BYTES, size - PREVIEW_BYTES)
        end = size - PREVIEW_BYTES + text.rfind(b"\n") + 1
        text = text[text.find(b"\n") + 1 : text.rfind(b"\n") + 1]
        if header is None or not text:
            return
        reader = LineReader(self._new_table(), header)
        reader.take(text)
        self.available = _metrics_of(header.names)
        self.table = reader.table
        if self._newest_only:
            self._reader = reader
            self._offset = end
            self._fingerprint = text[-_FINGERPRINT_BYTES:]

    def _all_read(self) -> None:
        table, shown = self._reader.table, self.table
        if self._reader.header is not None:
            self.available = _metrics_of(self._reader.header.names)
        if table is not shown:
            self._say_what_changed(shown, table)
            self.table = table
        if self._reader.header is None and self._offset:
            self.notice = Notice(Trouble.NO_HEADER)
        self._complete = True

    def _say_what_changed(self, before: MetricsTable, now: MetricsTable) -> None:
        if self.notice is None or not len(before):
            return
        last = now.last_step
        if last is None or last >= (before.last_step or 0) or not _begins_like(before, now):
            self._known_resumes = []
            self.notice = Notice(self.notice.trouble, step=last)
            return
        self._known_resumes = [step for step in self.resumes if step < last] + [last]
        self.notice = Notice(Trouble.DROPPED, step=last, rows=max(len(before) - len(now), 0))


def _metrics_of(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in ("step", "mode", "phase"))


def _begins_like(before: MetricsTable, now: MetricsTable) -> bool:
    """Whether the rows that are left are the earlier ones."""
    rows = len(now.training)
    return (
        now.training.steps == before.training.steps[:rows]
        and now.curve("loss").values == (before.curve("loss").values[: len(now.curve("loss").values)])
    )
