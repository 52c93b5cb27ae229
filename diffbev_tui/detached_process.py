"""Engine commands that keep running after the UI exits and can be reattached."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.core.files import write_text
from diffbev_engine.core.state_file import UnixTime, decode_file
from diffbev_engine.runs.process import ProcessIdentity, identify
from diffbev_tui.engine import start_detached_process
from diffbev_tui.log_tail import end_of


@dataclass(frozen=True)
class DetachedProcess:
    """A process with its log; which process it is, is kept next to the log."""

    log: Path
    since: float
    """Unix time."""
    identity: ProcessIdentity
    process: "subprocess.Popen[bytes] | None" = None
    """``None`` for one that was started by a UI that was left."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None if self.process else not self.identity.alive

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs, and where only its own UI could have known."""
        return self.process.poll() if self.process else None

    def interrupt(self) -> None:
        """Ask it and its children to end, as Ctrl+C does; nothing happens where it has ended."""
        if not self.ended:
            with suppress(ProcessLookupError):
                os.killpg(self.identity.pid, signal.SIGINT)  # it leads a session of its own

    @property
    def last_line(self) -> str:
        """What it said last."""
        return end_of(self.log)


@dataclass(frozen=True)
class _Record:
    process: ProcessIdentity
    since: UnixTime


def find_detached(log: Path) -> DetachedProcess | None:
    """The process that writes ``log``; ``None`` when none is alive."""
    kept = decode_file(_record(log), _Record).value
    if kept is not None and kept.process.alive and log.exists():
        return DetachedProcess(log, kept.since, kept.process)
    return None


def find_running(logs: Path) -> tuple[DetachedProcess, ...]:
    """All that are alive and write a log in the folder ``logs``."""
    found = (find_detached(record.with_suffix(".log")) for record in sorted(logs.glob("*.json")))
    return tuple(one for one in found if one is not None)


def start_or_find(command: Sequence[str], log: Path, cwd: Path) -> DetachedProcess:
    """Start ``command`` with a new log in a session of its own, unless one that writes it is alive.

    Raises:
        OSError: the log cannot be written, or there is no folder ``cwd``.
    """
    found = find_detached(log)
    if found is not None:
        return found
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    since = time.time()
    process = start_detached_process(command, log, cwd=cwd)
    identity = identify(process.pid)
    write_text(_record(log), json.dumps({"process": asdict(identity), "since": since}), private=True)
    return DetachedProcess(log, since, identity, process)


def _record(log: Path) -> Path:
    return log.with_suffix(".json")
