"""Starting the engine's command line: the only way in which the UI does heavy work."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.files import open_private, sweep_abandoned


def engine_command(*arguments: str | Path) -> list[str]:
    """The command line of ``diffbev-engine`` with this Python, wherever the scripts are installed."""
    return [sys.executable, "-m", "diffbev_engine", *map(str, arguments)]


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    exit_code: int
    output: str
    """stdout and stderr together."""

    @property
    def last_line(self) -> str:
        """The last line that says anything: the error, where there is one."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def ask_engine(
    *arguments: str | Path,
    cwd: Path | None = None,
    timeout_s: float | None = None,
) -> Answer:
    """Run a command to its end, in a session of its own; to be called from a thread.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout_s``.
    """
    ended = subprocess.run(
        engine_command(*arguments),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        start_new_session=True,
        check=False,
    )
    return Answer(ended.returncode, ended.stdout)


def start_detached_process(
    command: Sequence[str], log: Path, cwd: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process that outlives the UI and its terminal; its output goes to the file ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sweep_abandoned(log.parent)
    with open_private(log, append=True) as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
