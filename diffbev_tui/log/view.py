"""Lines of a log as a screen shows them: those of a level, folded to its width, found by a search."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import chop_cells

from diffbev_tui.log_tail import MOST_LINES, LogTail

LEVELS = ("all", "warnings", "errors")
ERROR = re.compile(r" E |error|traceback", re.I)
WARNING = re.compile(r" W |warning", re.I)
_SLACK = 2_000
"""Lines more than wanted before the oldest are dropped, as that lays everything out again."""
_MOST_KEPT = 5 * MOST_LINES
"""Kept for a reader who has scrolled up, whose lines should not move."""


class LogView:
    """Follows a ``LogTail``."""

    def __init__(self, tail: LogTail, width: int, *, level: str = "all", wrap: bool = True) -> None:
        self.tail, self.width, self.level, self.wrap = tail, width, level, wrap
        self.lines: list[str] = []
        self.rows: list[str] = []
        self._firsts: list[int] = []
        """Row in which each line begins."""
        self._added = tail.added
        self._starts = tail.starts
        self._append(tail.lines)

    @property
    def begun_anew(self) -> bool:
        """Whether the file was, so that everything has to be laid out again."""
        return self._starts != self.tail.starts

    def is_too_long(self, *, following: bool) -> bool:
        """Whether the oldest lines should be dropped."""
        return len(self.lines) > (MOST_LINES + _SLACK if following else _MOST_KEPT)

    def advance(self) -> tuple[int, list[str]]:
        """Lines that are new, and their rows."""
        new = min(self.tail.added - self._added, len(self.tail.lines))
        self._added = self.tail.added
        lines, rows = len(self.lines), len(self.rows)
        if new:
            self._append(list(self.tail.lines)[-new:])
        return len(self.lines) - lines, self.rows[rows:]

    def _append(self, lines: Iterable[str]) -> None:
        for line in lines:
            if of_level(line, self.level):
                self._firsts.append(len(self.rows))
                self.lines.append(line)
                self.rows.extend(folded(line, self.width) if self.wrap else [line])

    def rows_of(self, line: int) -> range:
        """The rows that a line takes."""
        after = self._firsts[line + 1] if line + 1 < len(self._firsts) else len(self.rows)
        return range(self._firsts[line], after)

    def line_at(self, row: int) -> int:
        """The line that a row is of."""
        return max(bisect_right(self._firsts, row) - 1, 0)

    def find(self, pattern: "re.Pattern[str]") -> Sequence[int]:
        """Lines that match."""
        return [number for number, line in enumerate(self.lines) if pattern.search(line)]


def of_level(line: str, level: str) -> bool:
    """Whether a line is at least as loud as ``level``."""
    if level == "all":
        return True
    return bool(ERROR.search(line)) or (level == "warnings" and bool(WARNING.search(line)))


def folded(line: str, width: int) -> list[str]:
    """A line in rows of at most ``width`` cells; Chinese characters take two."""
    if width < 2 or len(line) * 2 <= width:
        return [line]
    return list(_rows(line, width)) if line.isascii() else chop_cells(line, width)


def _rows(line: str, width: int) -> Iterator[str]:
    """Cut behind a space in the second half of a row, where there is one: numbers stay whole."""
    at = 0
    while len(line) - at > width:
        space = line.rfind(" ", at + width // 2, at + width)
        end = space + 1 if space >= 0 else at + width
        yield line[at:end]
        at = end
    yield line[at:]


def pattern_of(needle: str) -> "re.Pattern[str] | None":
    """A regular expression, or the text itself where it is none; ``None`` for nothing."""
    if not needle:
        return None
    try:
        return re.compile(needle, re.I)
    except re.error:
        return re.compile(re.escape(needle), re.I)
