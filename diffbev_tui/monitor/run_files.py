"""What a screen shows of a run next to its metrics: resumes, newest checkpoint, end of the log.

Imports nothing heavy.
"""

import os
import re
from pathlib import Path

from diffbev_engine.core.plain_text import plain_line
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runs.folder import RunFolder

_RESUMED = re.compile(rb"resuming after iteration (\d{1,18})")
_HEAD_BYTES = 1 << 15
_TAIL_BYTES = 1 << 14
_LONGEST_LINE = 400


class RunFiles:
    """Reads little, and only what has changed; all calls from one thread."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._starts: dict[str, int] = {}
        self._log_seen: tuple[str, int] | None = None
        self.resumes: tuple[int, ...] = ()
        """Iterations after which the run was resumed, from its logs."""
        self.log: tuple[str, ...] = ()
        """The last lines of the newest log."""
        self.saved: float | None = None
        """When the newest checkpoint was written; Unix time."""
        self.checkpoint: str | None = None
        """Its file name."""

    def look(self) -> None:
        """Look again."""
        names = sorted(path.name for path in self._folder.path.glob("train_*.log"))
        for name in names[:-1]:
            if name not in self._starts:
                self._starts[name] = self._start_in(name)
        if names and self._has_grown(names[-1]):
            self._starts[names[-1]] = self._start_in(names[-1])
            self._read_end(names[-1])
        self.resumes = tuple(sorted({step for step in self._starts.values() if step >= 0}))
        saved = self._folder.checkpoints()
        newest = saved[-1][1] if saved else self._folder.latest
        try:
            self.saved, self.checkpoint = newest.stat().st_mtime, newest.name
        except OSError:
            self.saved = self.checkpoint = None

    def _start_in(self, name: str) -> int:
        """The iteration after which, by a log, the run was resumed; -1 if it says nothing."""
        known = self._starts.get(name, -1)
        if known >= 0:
            return known
        found = _RESUMED.search(_read(self._folder.path / name, 0, _HEAD_BYTES))
        return int(found[1]) if found else -1

    def _has_grown(self, name: str) -> bool:
        try:
            seen = (name, (self._folder.path / name).stat().st_size)
        except OSError:
            return False
        changed, self._log_seen = seen != self._log_seen, seen
        return changed

    def _read_end(self, name: str) -> None:
        assert self._log_seen is not None
        start = max(self._log_seen[1] - _TAIL_BYTES, 0)
        lines = _read(self._folder.path / name, start, _TAIL_BYTES).decode("utf-8", "replace").split("\n")
        whole = lines[1 if start else 0 :]
        self.log = tuple(plain_line(line)[:_LONGEST_LINE] for line in whole if line.strip())


def _read(path: Path, start: int, size: int) -> bytes:
    try:
        with open_regular(path) as file:
            return os.pread(file.fileno(), size, start)
    except OSError:
        return b""
