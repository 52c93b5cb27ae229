"""The log that is shown: its end or a part of it, all its lines or those wanted, and a search. No Textual."""

from itertools import takewhile
from pathlib import Path

from diffbev_tui.log.scan import FileScan, Window, read_matches, read_window
from diffbev_tui.log.wanted import Wanted
from diffbev_tui.log_tail import Line, LogTail


class OpenLog:
    """One file. Reads in ``tail.look``, ``FileScan.step`` and ``read`` only, which are for threads."""

    def __init__(self, path: Path, wanted: Wanted, needle: str) -> None:
        self.path = path
        self.tail = LogTail(path)
        self.only: FileScan | None = None
        """Finds the lines that are shown, where those are not all."""
        self.search: FileScan | None = None
        """Finds what was searched for among the lines that are shown."""
        self.window: Window | None = None
        """The part of the file that is shown; ``None`` for its end."""
        self.want(wanted, needle)

    def want(self, wanted: Wanted, needle: str) -> None:
        """Show the end of what is wanted now, and search that."""
        self.wanted, self.window = wanted, None
        self.only = FileScan(self.path, wanted, keep=True) if wanted else None
        self.look_for(needle)

    def look_for(self, needle: str) -> None:
        """Search for a text; "" for none."""
        self.needle = needle
        wanted = Wanted(self.wanted.level, (*self.wanted.texts, needle))
        self.search = FileScan(self.path, wanted) if needle else None

    @property
    def scans(self) -> dict[str, FileScan]:
        """Those that have something left to read, by a name."""
        both = {"only": self.only, "search": self.search}
        return {
            name: scan
            for name, scan in both.items()
            if scan is not None and not (scan.finished and scan.size == self.tail.size)
        }

    @property
    def new(self) -> int:
        """Rises with each line that is appended and would be shown."""
        return self.only.new if self.only is not None else self.tail.added

    def lines(self) -> list[Line]:
        """What is shown."""
        return list(self.window.lines) if self.window is not None else self._end()

    def lines_after(self, offset: int) -> list[Line]:
        """Of the end of the file, the lines that begin after a byte of it."""
        return list(takewhile(lambda line: line[0] > offset, reversed(self._end())))[::-1]

    def _end(self) -> list[Line]:
        return list(self.only.kept if self.only is not None else self.tail.held)

    def end_has(self, offset: int) -> bool:
        """Whether this byte is in what is held of the end of the file."""
        end = self._end()
        return not end or offset >= end[0][0]

    def read(self, offset: int) -> Window:
        """The lines around a byte of the file.

        Raises:
            OSError: the file cannot be read.
        """
        if self.only is not None:
            return read_matches(self.path, self.only, offset)
        return read_window(self.path, offset)
