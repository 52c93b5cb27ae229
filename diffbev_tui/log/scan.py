"""Finds lines in a file, however large: from its end to its beginning, then in what is added. No Textual."""

import re
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from diffbev_engine.core.plain_text import plain_line
from diffbev_engine.core.regular_file import open_regular
from diffbev_tui.log.wanted import Wanted
from diffbev_tui.log_tail import LONGEST_LINE, Line, lines_in, shown

MOST_MATCHES = 500_000
"""Whose places are kept, before where the scan began and after it; more are counted."""
KEPT = 10_000
"""Newest matching lines whose text is kept."""
KEPT_CHARACTERS = 4 << 20
_BLOCK = 1 << 18
"""Bytes; searching more at once would keep the UI waiting for the interpreter."""
_STEP_S = 0.1
_SIDE = 1 << 19
"""Bytes that are shown of a file before and after a place in it."""
_SIDE_LINES = 2_000
"""Matching lines that are shown before and after a place."""
_BLANKS = b"\t\x0b\x0c\x1c\x1d\x1e\x1f"
_CONTROL = bytes({*range(32), 127} - {*b"\n\r", *_BLANKS})
_SEQUENCES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\))")
_TO_BLANK = bytes.maketrans(_BLANKS, b" " * len(_BLANKS))


class FileScan:
    """The lines of a file that are wanted.

    Each call of ``step`` reads for about a tenth of a second; a scan is cancelled by not calling it again.
    Memory, whatever the size of the file: while it reads, a block of 256 KiB, copies of it and its lines;
    8 bytes for each of at most 1,000,000 matches; with ``keep`` 10,000 lines of 4 Mi characters together.
    A line that is longer than a block is searched in pieces.
    """

    def __init__(self, path: Path, wanted: Wanted, *, keep: bool = False) -> None:
        self.path, self.wanted, self.keep = path, wanted, keep
        self.begin = self.end = -1
        """What was searched: whole lines between these bytes."""
        self.size = 0
        self.error = ""
        """Why it could not be read to its beginning."""
        self.kept: deque[Line] = deque()
        self._kept_characters = 0
        self._began = self._reached = 0
        self._counted = 0
        self._older = array("q")
        self._newer = array("q")
        self._open: int | None = None
        """A match behind the last line end, where the line may not be complete."""

    @property
    def count(self) -> int:
        """Matches so far."""
        return self._counted + (self._open is not None)

    @property
    def finished(self) -> bool:
        """Whether the complete file was read, or cannot be."""
        return bool(self.error) or (self.begin == 0 and self._reached >= self.size)

    @property
    def new(self) -> int:
        """Matches among what was appended since the scan began."""
        return len(self._newer)

    @property
    def read(self) -> int:
        """Bytes of the file that were searched."""
        return max(self.end - self.begin, 0)

    def step(self, seconds: float = _STEP_S) -> "FileScan":
        """Read on for this time; to be called from a thread, one call at a time."""
        until = time.monotonic() + seconds
        self.error = ""
        try:
            with open_regular(self.path) as file:
                self.size = file.seek(0, 2)
                if self.end < 0:
                    self.begin = self.end = self._began = self._reached = _end_of_lines(file, self.size)
                self._read_new(file, until)
                while self.begin > 0:
                    self._read_older(file)
                    if time.monotonic() > until:
                        break
        except OSError as error:
            self.error = error.strerror or str(error)
        return self

    def _read_older(self, file: BinaryIO) -> None:
        begin = max(0, self.begin - _BLOCK)
        file.seek(begin)
        block = file.read(self.begin - begin)
        inside = block.find(b"\n") + 1
        if begin and 0 < inside < len(block):  # else a line without an end
            begin, block = begin + inside, block[inside:]
        for offset, line in reversed(list(matches(block, begin, self.wanted))):
            self._counted += 1
            if len(self._older) < MOST_MATCHES:
                self._older.append(offset)
            if self.keep and len(self.kept) < KEPT and self._kept_characters < KEPT_CHARACTERS:
                self.kept.appendleft((offset, shown(line)))
                self._kept_characters += len(self.kept[0][1])
        self.begin = begin

    def _read_new(self, file: BinaryIO, until: float) -> None:
        while self._reached < self.size:
            file.seek(self.end)
            block = file.read(min(_BLOCK, self.size - self.end))
            inside = block.rfind(b"\n") + 1
            if not inside and len(block) < _BLOCK:
                self._reached = self.size
                self._open = next((offset for offset, _ in matches(block, self.end, self.wanted)), None)
                return
            block = block[: inside or len(block)]
            for offset, line in matches(block, self.end, self.wanted):
                self._add_new(offset, line)
            self.end = self._reached = self.end + len(block)
            self._open = None
            if time.monotonic() > until:
                break

    def _add_new(self, offset: int, line: bytes) -> None:
        self._counted += 1
        if len(self._newer) < MOST_MATCHES:
            self._newer.append(offset)
        if self.keep:
            self.kept.append((offset, shown(line)))
            self._kept_characters += len(self.kept[-1][1])
            while len(self.kept) > KEPT or self._kept_characters > KEPT_CHARACTERS:
                self._kept_characters -= len(self.kept.popleft()[1])

    # places --------------------------------------------------------------------------------------

    def knows(self, at: int, by: int) -> bool:
        """Whether the next match before (``by`` < 0) or after byte ``at`` is known, or that there is none."""
        return self.finished or (self.before(at) is not None if by < 0 else at >= self.begin)

    def before(self, at: int) -> int | None:
        """The nearest match before a byte of the file."""
        if self._open is not None and self._open < at:
            return self._open
        place = bisect_left(self._newer, at)
        if place:
            return self._newer[place - 1]
        place = bisect_right(self._older, -at, key=lambda offset: -offset)
        return self._older[place] if place < len(self._older) else None

    def after(self, at: int) -> int | None:
        """The nearest match after a byte of the file."""
        place = bisect_left(self._older, -at, key=lambda offset: -offset)
        if place:
            return self._older[place - 1]
        place = bisect_right(self._newer, at)
        if place < len(self._newer):
            return self._newer[place]
        return self._open if self._open is not None and self._open > at else None

    def number(self, at: int) -> int:
        """Which of all matches the one at this byte is, the first is 1; 0 while that is not known."""
        if not self.finished or self.error:
            return 0
        before = self._counted - len(self._newer)
        if at >= self._began:
            return before + bisect_left(self._newer, at) + 1
        return before - bisect_left(self._older, -at, key=lambda offset: -offset)

    def around(self, at: int) -> Sequence[int]:
        """Places of matches near a byte of the file, in order."""
        place = bisect_left(self._older, -at, key=lambda offset: -offset)
        older = self._older[max(0, place - _SIDE_LINES) : place + _SIDE_LINES][::-1]
        place = bisect_left(self._newer, at)
        newer = self._newer[max(0, place - _SIDE_LINES) : place + _SIDE_LINES]
        return [*older, *newer]


def matches(block: bytes, begin: int, wanted: Wanted) -> Iterator[tuple[int, bytes]]:
    """The lines of a block that are wanted, each with the byte at which it begins.

    A long line is searched beyond what is shown of it, and of a progress bar only the last state.

    Args:
        block: whole lines; the last one needs no end.
        begin: byte of the file at which the block begins.
        wanted: which.
    """
    hints = wanted.hints
    lines = lines_in(block, begin)
    if hints:
        lines = _hinted(block, begin, hints)
    for offset, line in lines:
        if wanted.fits(plain_line(line.decode("utf-8", errors="replace"))):
            yield offset, line


def _hinted(block: bytes, begin: int, hints: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that have one of the ``hints`` without their control characters, as ``plain_line`` shows them."""
    text = block
    if len(text.translate(None, _CONTROL)) != len(text):
        text = _SEQUENCES.sub(b"", text).translate(None, _CONTROL)
    text = text.translate(_TO_BLANK).lower()
    numbers = set()
    for hint in hints:
        number, counted, at = 0, 0, text.find(hint)
        while at >= 0:
            number += text.count(b"\n", counted, at)
            numbers.add(number)
            counted = end = text.find(b"\n", at)
            at = text.find(hint, end) if end >= 0 else -1
    if numbers:
        yield from (line for number, line in enumerate(lines_in(block, begin)) if number in numbers)


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Byte behind the last line end."""
    begin = max(0, size - _BLOCK)
    file.seek(begin)
    inside = file.read(size - begin).rfind(b"\n") + 1
    return begin + inside if inside or not begin else size


# a part of a file --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Lines around a place in a file."""

    lines: tuple[Line, ...]
    at_end: bool
    """Whether they reach as far as the file did when they were read."""


def read_window(path: Path, at: int) -> Window:
    """The lines around byte ``at``: at most 512 KiB before it and as much after it.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        begin = max(0, min(at, size) - _SIDE)
        file.seek(begin)
        block = file.read(min(at, size) - begin + _SIDE)
    at_end = begin + len(block) >= size
    if begin:
        inside = block.find(b"\n", 0, max(at - begin, 0)) + 1
        begin, block = begin + inside, block[inside:]
    if not at_end:
        block = block[: block.rfind(b"\n", max(at - begin, 0)) + 1 or len(block)]
    return Window(tuple((offset, shown(line)) for offset, line in lines_in(block, begin)), at_end)


def read_matches(path: Path, scan: FileScan, at: int) -> Window:
    """The matching lines around byte ``at``: at most 2,000 before it and 2,000 after it.

    Raises:
        OSError: the file cannot be read.
    """
    lines = []
    with open_regular(path) as file:
        for offset in scan.around(at):
            file.seek(offset)
            lines.append((offset, shown(file.readline(LONGEST_LINE).rstrip(b"\n"))))
    return Window(tuple(lines), not lines or scan.after(lines[-1][0]) is None)
