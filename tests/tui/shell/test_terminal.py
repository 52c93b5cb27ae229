"""The app in a real terminal, with real signals."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

STEP = """
[[phase]]
id = "9"
title = { zh = "试", en = "Trial" }
[[phase.step]]
id = "9.1"
title = { zh = "慢", en = "Slow" }
run = "echo begun > begun; while [ ! -e go ]; do sleep 0.1; done; echo ended > ended"
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


class Terminal:
    """A tmux session; every opening has a server of its own, for one that is just ending takes no session."""

    def __init__(self) -> None:
        self._tmux: list[str] = []

    def open(self, *arguments: object, size: tuple[int, int] = (120, 36)) -> None:
        self.close()
        self._tmux = ["tmux", "-L", f"diffbev-{uuid.uuid4().hex[:8]}"]
        command = [sys.executable, "-m", "diffbev_tui.main", *map(str, arguments)]
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
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        command = [*self._tmux, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=check).stdout


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def _wait(holds: Callable[[], object], terminal: Terminal, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, terminal.text()
        time.sleep(0.1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_a_step_outlives_the_ui_and_its_terminal_and_is_found_again(how, workspace, terminal):
    (workspace / "runbook.toml").write_text(STEP, encoding="utf-8")
    terminal.open(workspace, "--lang", "en")
    _wait(lambda: "Next:" in terminal.text(), terminal)
    terminal.keys("/")
    terminal.keys("9.1", "Enter")
    _wait(lambda: re.search(r">\S* ?\S* ?pending +9\.1", terminal.text()), terminal)
    terminal.keys("r")
    _wait(lambda: (workspace / "begun").exists() or "Run" in terminal.text().split("9.1")[-1], terminal)
    if not (workspace / "begun").exists():
        terminal.keys("y")
    _wait((workspace / "begun").exists, terminal)

    os.kill(terminal.pid(), how)
    terminal.open(workspace, "--lang", "zh", size=(80, 24))
    _wait(lambda: "9.1" in terminal.text() and "等待" in terminal.text(), terminal)
    (workspace / "go").touch()
    _wait((workspace / "ended").exists, terminal)
    _wait(lambda: "等待 9.1" not in terminal.text(), terminal)


def test_ctrl_c_leaves_it_open_and_q_closes_it(workspace, terminal):
    terminal.open(workspace, "--lang", "en")
    _wait(lambda: "Next:" in terminal.text(), terminal)
    terminal.keys("C-c")
    _wait(lambda: "Ctrl+C ends nothing" in terminal.text(), terminal)
    terminal.keys("q")
    _wait(lambda: not terminal.text().strip(), terminal)
