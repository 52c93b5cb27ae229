"""Steps of the runbook as processes of their own: started apart from the UI, stopped gently, watched."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_text
from diffbev_engine.core.plain_text import plain_line
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.runbook.record import StepRecord
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.engine import engine_command, start_detached_process

_KEPT_LOGS = 20
_TAIL_BYTES = 48 * 1024
_LONGEST_LINE = 500
_KEEPS_GOING = ("tee",)
"""Ends by itself when the program before it does; signalling it would lose the last lines of the log."""


@dataclass(frozen=True)
class Started:
    """A runner that this UI started; it continues without the UI."""

    process: "subprocess.Popen[bytes]"
    log: Path
    """What it printed."""
    since: float
    """Unix time of the start."""
    steps: tuple[str, ...]
    """The steps it was asked for, in order."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self.process.poll()

    def last_words(self) -> str:
        """The last line that it printed: why it refused."""
        lines = [line.strip() for line in tail_lines(self.log) if line.strip()]
        return lines[-1].removeprefix("error: ") if lines else ""


def start_steps(roots: WorkspacePaths, arguments: Sequence[str], steps: Sequence[str]) -> Started:
    """Run ``diffbev-engine runbook run`` in a session of its own; to be called from a thread.

    Raises:
        OSError: the workspace cannot be written.
    """
    folder = roots.state_folder / "tui"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("run_*.log"))[:-_KEPT_LOGS]:
        old.unlink(missing_ok=True)
    since = time.time()
    name = time.strftime("run_%Y%m%d_%H%M%S", time.localtime(since))
    log = folder / f"{name}_{time.time_ns() % 10**9:09d}.log"
    command = engine_command("runbook", "run", roots.workspace, *arguments)
    return Started(start_detached_process(command, log, cwd=roots.workspace), log, since, tuple(steps))


def stop_step(roots: WorkspacePaths, step: str, record: StepRecord, *, at_once: bool) -> None:
    """Ask a running step to end, as Ctrl+C does; asked again, its programs are killed.

    Raises:
        DiffBEVError: nothing of it runs here, or it belongs to somebody else.
    """
    try:
        if record.runner is not None and record.runner.alive:
            os.kill(record.runner.pid, signal.SIGINT)
        elif record.process is not None and record.process.alive:
            _end_shell(record.process.pid, at_once)
        else:
            raise DiffBEVError(f"step {step} has ended already.")
    except ProcessLookupError:
        raise DiffBEVError(f"step {step} has ended already.") from None
    except PermissionError:
        raise DiffBEVError(
            f"step {step} cannot be stopped: it is {record.process or record.runner}."
        ) from None
    _note_request(roots, step, record)


def asked_to_stop(roots: WorkspacePaths, step: str, record: StepRecord) -> bool:
    """Whether this start of the step was asked to end, by any UI of the workspace."""
    return record.started is not None and _requests(roots).get(step) == record.started


def tail_lines(path: Path, most: int = 400) -> tuple[str, ...]:
    """The last lines of a log as they would look on a terminal; empty when there is none."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            whole = file.tell() == 0
            text = file.read(_TAIL_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ()
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not whole and len(lines) > 1:
        del lines[0]  # begins in the middle
    return tuple(plain_line(line)[:_LONGEST_LINE].rstrip() for line in lines[-most:])


def _end_shell(pid: int, at_once: bool) -> None:
    """For a step whose runner is gone: what the runner would do."""
    if at_once:
        os.killpg(pid, signal.SIGKILL)
        return
    import psutil

    with suppress(psutil.Error):
        shell = psutil.Process(pid)
        for process in [*shell.children(recursive=True), shell]:
            with suppress(psutil.Error):
                if process.name() not in _KEEPS_GOING:
                    process.send_signal(signal.SIGINT)


def _request_file(roots: WorkspacePaths) -> Path:
    return roots.state_folder / "tui" / "stop_requests"


def _requests(roots: WorkspacePaths) -> dict[str, float]:
    return decode_file(_request_file(roots), dict[str, float]).value or {}


def _note_request(roots: WorkspacePaths, step: str, record: StepRecord) -> None:
    """Remember it, as the next request to the same start kills: another UI must know."""
    with suppress(OSError):
        _request_file(roots).parent.mkdir(parents=True, exist_ok=True)
        write_text(_request_file(roots), json.dumps({**_requests(roots), step: record.started}))
