"""The app in a real terminal: a tmux session to type into and to read."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

from tests.processes import wait_until

_NOT_INHERITED = ("TMUX", "COLUMNS", "LINES")
"""Of this process's own terminal; the last two would be taken for the size of the new one."""


class Terminal:
    """A tmux session; every opening has a server of its own, for one that is just ending takes no session."""

    def __init__(self) -> None:
        self._tmux: list[str] = []

    def open(self, *arguments: object, size: tuple[int, int] = (120, 36), code: str = "") -> None:
        """Start the UI with these arguments, or ``code`` of a test's own that starts it."""
        self.close()
        self._tmux = ["tmux", "-L", f"diffbev-{uuid.uuid4().hex[:8]}"]
        program = ("-c", code) if code else ("-m", "diffbev_tui.main")
        command = [sys.executable, *program, *map(str, arguments)]
        width, height = map(str, size)
        self._run("new-session", "-d", "-s", "t", "-x", width, "-y", height, *command)

    def keys(self, *keys: str) -> None:
        self._run("send-keys", "-t", "t", *keys)

    def text(self) -> str:
        return self._run("capture-pane", "-t", "t", "-p", check=False)

    def pid(self) -> int:
        return int(self._run("list-panes", "-t", "t", "-F", "#{pane_pid}"))

    def close(self) -> None:
        if self._tmux:
            self._run("kill-server", check=False)

    def _run(self, *arguments: str, check: bool = True) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        command = [*self._tmux, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=check).stdout

    def wait(self, holds: Callable[[], object]) -> None:
        """Until ``holds()``; the screen is the error if it never does."""
        wait_until(holds, seen=self.text, every_s=0.1)

    def shows(self, text: str) -> None:
        """Wait until the screen shows ``text``."""
        self.wait(lambda: text in self.text())
