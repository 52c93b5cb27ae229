"""Control lock: one UI may act on a workspace, others are read-only."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from diffbev_engine.runs.process import identify


class Seat:
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
        try:
            data: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return f"{data['user']}@{data['host']} pid {data['pid']}"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
