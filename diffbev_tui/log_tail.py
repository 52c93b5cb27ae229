"""The end of a log that grows, at once however large it is, and then what is appended."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.core.plain_text import plain_line

MOST_LINES = 40_000
MOST_CHARACTERS = 2_000
_FIRST_LOOK = 4 << 20
_MOST_AT_ONCE = 8 << 20
_LAST_WORDS = 1 << 14


@dataclass
class LogTail:
    """Lines of one file, the oldest dropped first."""

    path: Path
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    added: int = 0
    """Lines ever added: tells a screen how many are new."""
    starts: int = 0
    """How often the file was started again."""
    skipped: int = 0
    """Bytes at the beginning of the file that were not read."""
    size: int = 0
    """Bytes of the file."""
    _offset: int = -1
    _inode: int = 0
    _rest: bytes = b""

    def look(self) -> bool:
        """Read what is new; whether there was anything. A missing file is an empty one."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                inode = self.path.stat().st_ino
                if self._offset < 0 or size < self._offset or inode != self._inode:
                    self._begin(size, inode)
                self.size = size
                if size == self._offset:
                    return False
                if size - self._offset > _MOST_AT_ONCE:
                    self._offset, self._rest = size - _FIRST_LOOK, b""
                    self.skipped = self._offset
                file.seek(self._offset)
                block = file.read(size - self._offset)
        except OSError:
            return False
        self._offset += len(block)
        *whole, self._rest = (self._rest + block).split(b"\n")
        for line in whole:
            self.lines.append(shown(line))
        self.added += len(whole)
        return bool(whole)

    def _begin(self, size: int, inode: int) -> None:
        self.starts += self._offset >= 0
        self.lines.clear()
        self._offset, self._inode, self._rest = max(0, size - _FIRST_LOOK), inode, b""
        self.skipped = self._offset


def shown(line: bytes) -> str:
    """A line without colour codes; of a progress bar only its last state; cut where it is endless."""
    text = plain_line(line.decode("utf-8", errors="replace"))
    return (
        text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} [+{len(text) - MOST_CHARACTERS}]"
    )


def end_of(path: Path) -> str:
    """The last line that says anything; "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LAST_WORDS))
            lines = [shown(line).strip() for line in file.read().split(b"\n")]
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
