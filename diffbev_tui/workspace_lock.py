"""Control lock: one UI may act on a workspace, others are read-only."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.runs.process import identify


@dataclass(frozen=True)
class _Owner:
    pid: int
    host: str
    user: str


class WorkspaceLock:
    """Control of a workspace, held by a file lock that is released when the process exits."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tui.lock"
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has the right."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take the seat if it is free; whether this process has it now."""
        if self._descriptor is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        owner = identify()
        text = json.dumps({"pid": owner.pid, "host": owner.host, "user": owner.user})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        self._descriptor = descriptor
        return True

    def leave(self) -> None:
        """Let the seat go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def owner(self) -> str:
        """Who has it, as ``user@host pid 123``; "" where the file does not say."""
        owner = decode_file(self._path, _Owner).value
        return plain(f"{owner.user}@{owner.host} pid {owner.pid}") if owner else ""
