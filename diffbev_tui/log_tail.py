"""The end of a log that grows, at once however large it is, and then what is appended."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.core.plain_text import plain_line
from diffbev_engine.core.regular_file import open_regular, read_end

Line = tuple[int, str]
"""Byte of the file at which a line begins, and the line as it is shown."""

MOST_LINES = 40_000
MOST_HELD = 8 << 20
"""Characters of all lines that are held."""
MOST_CHARACTERS = 2_000
"""Of one line; the rest is counted."""
LONGEST_LINE = 1 << 20
"""Bytes; what is longer is taken as several lines."""
_FIRST_LOOK = 4 << 20
_MOST_AT_ONCE = 8 << 20
_LAST_WORDS = 1 << 14


@dataclass
class LogTail:
    """Lines of one file, the oldest dropped first.

    Holds at most ``MOST_LINES`` lines of ``MOST_HELD`` characters together; reads at most 8 MiB at once.
    """

    path: Path
    held: deque[Line] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    added: int = 0
    """Lines ever added: tells a screen how many are new."""
    starts: int = 0
    """How often the file was started again."""
    jumps: int = 0
    """How often all lines were dropped: at a start, and where too much was new."""
    size: int = 0
    """Bytes of the file."""
    unfinished: str = ""
    """What is behind the last line end: the last line of a file without one, or one that is being written."""
    _offset: int = -1
    _inode: int = 0
    _rest: bytes = b""
    _characters: int = 0

    @property
    def lines(self) -> list[str]:
        """The text of the lines that are held."""
        return [text for _, text in list(self.held)]

    @property
    def begin(self) -> int:
        """Byte at which the lines that are held begin."""
        return self.held[0][0] if self.held else max(0, self._offset - len(self._rest))

    def look(self) -> bool:
        """Read what is new; whether there were new lines. A missing file is an empty one."""
        try:
            with open_regular(self.path) as file:
                size = file.seek(0, 2)
                inode = self.path.stat().st_ino
                if self._offset < 0 or size < self._offset or inode != self._inode:
                    self.starts += self._offset >= 0
                    self._jump(size, inode)
                elif size - self._offset > _MOST_AT_ONCE:
                    self._jump(size, inode)
                self.size = size
                if size == self._offset:
                    return False
                file.seek(self._offset)
                block = file.read(size - self._offset)
        except OSError:
            return False
        return self._take(block)

    def _jump(self, size: int, inode: int) -> None:
        self.jumps += 1
        self.held.clear()
        self._characters = 0
        self._offset, self._inode, self._rest = max(0, size - _FIRST_LOOK), inode, b""
        self.unfinished = ""

    def _take(self, block: bytes) -> bool:
        begin = self._offset - len(self._rest)
        self._offset += len(block)
        block = self._rest + block
        end = block.rfind(b"\n") + 1
        if len(block) - end > LONGEST_LINE:
            end = len(block)
        self._rest = block[end:]
        self.unfinished = shown(self._rest)
        new = list(lines_in(block[:end], begin))
        for offset, line in new[-MOST_LINES:]:  # the others would be dropped again
            if len(self.held) == MOST_LINES:
                self._characters -= len(self.held[0][1])
            self.held.append((offset, shown(line)))
            self._characters += len(self.held[-1][1])
            while self._characters > MOST_HELD:
                self._characters -= len(self.held.popleft()[1])
        self.added += len(new)
        return bool(new)


def lines_in(block: bytes, begin: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a block of whole lines, each with the byte at which it begins.

    Args:
        block: the last line needs no end.
        begin: byte of the file at which the block begins.
    """
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for line in lines:
        yield begin, line
        begin += len(line) + 1


def shown(line: bytes) -> str:
    """A line without colour codes; of a progress bar only its last state; cut where it is endless."""
    text = plain_line(line.decode("utf-8", errors="replace"))
    return (
        text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} [+{len(text) - MOST_CHARACTERS}]"
    )


def end_of(path: Path) -> str:
    """The last line that says anything; "" where there is none."""
    try:
        lines = [shown(line).strip() for line in read_end(path, _LAST_WORDS).split(b"\n")]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def logs_of(run: Path | None, workspace: Path) -> list[Path]:
    """Logs to check: of the run and of the runbook's steps, the newest first."""
    found = list(run.glob("*.log")) if run is not None else []
    found += list((workspace / ".diffbev" / "logs").rglob("*.log"))
    dated = []
    for path in found:
        try:
            dated.append((path.stat().st_mtime, path))
        except OSError:
            continue
    return [path for _, path in sorted(dated, reverse=True)]
