"""Lines of a log as a screen shows them, folded to its width. No Textual."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from rich.cells import chop_cells

from diffbev_tui.log_tail import MOST_LINES, Line

_SLACK = 2_000
"""Lines more than wanted before the oldest are dropped, as that lays everything out again."""
_MOST_KEPT = 5 * MOST_LINES
"""Kept for a reader who has scrolled up, whose lines should not move."""


class LogView:
    """Lines, the rows they take, and where in the file they begin."""

    def __init__(self, lines: Iterable[Line], width: int, *, wrap: bool = True) -> None:
        self.width, self.wrap = width, wrap
        self.lines: list[str] = []
        self.offsets: list[int] = []
        self.rows: list[str] = []
        self._firsts: list[int] = []
        """Row in which each line begins."""
        self.append(lines)

    @property
    def end(self) -> int:
        """Byte at which the last line begins; -1 without one."""
        return self.offsets[-1] if self.offsets else -1

    def is_too_long(self, *, following: bool) -> bool:
        """Whether the oldest lines should be dropped."""
        return len(self.lines) > (MOST_LINES + _SLACK if following else _MOST_KEPT)

    def append(self, lines: Iterable[Line]) -> list[str]:
        """Add lines at the end; their rows."""
        before = len(self.rows)
        for offset, line in lines:
            self._firsts.append(len(self.rows))
            self.offsets.append(offset)
            self.lines.append(line)
            self.rows.extend(folded(line, self.width) if self.wrap else [line])
        return self.rows[before:]

    def rows_of(self, line: int) -> range:
        """The rows that a line takes."""
        after = self._firsts[line + 1] if line + 1 < len(self._firsts) else len(self.rows)
        return range(self._firsts[line], after)

    def line_at(self, row: int) -> int:
        """The line that a row is of."""
        return max(bisect_right(self._firsts, row) - 1, 0)

    def line_with(self, offset: int) -> int | None:
        """The line in which this byte of the file is; ``None`` where that is not known."""
        line = bisect_right(self.offsets, offset) - 1
        beyond = line == len(self.offsets) - 1 and self.offsets and self.offsets[line] != offset
        return None if line < 0 or beyond else line

    def line_near(self, offset: int) -> int:
        """That line, else the first or the last."""
        return max(bisect_right(self.offsets, offset) - 1, 0)


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
