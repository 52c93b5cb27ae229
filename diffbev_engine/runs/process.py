"""Process identity that is robust against pid reuse, reboots and other machines.

A pid alone names a process only while it lives.  Together with its start time in clock ticks
after boot (which setting the clock does not move), the boot and the pid namespace it does so
for good.
"""

import getpass
import os
import signal
import socket
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from diffbev_engine.core.state_file import Amount, convert

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What asks a training run to save and stop: people, schedulers (SLURM, submitit), a closing terminal."""

_PROC = Path("/proc")
_START_TIME = 19  # of the fields after the command's name in /proc/<pid>/stat; field 22 in proc(5)


_HIDDEN = -1.0
"""Start time of a process that exists, but whose details the system hides from this user."""


class Liveness(str, Enum):
    """What this machine can say about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    """Ended, also where its pid now belongs to another process."""
    REBOOTED = "rebooted"
    """Ended, because its machine has been started again since."""
    ELSEWHERE = "elsewhere"
    """It belongs to another machine or container: nothing can be said from here."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, for good."""

    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    start: Amount
    """Clock ticks after boot on Linux, Unix time elsewhere; only equality means something."""
    boot_id: str
    namespace: str
    """Pid namespace: in two containers the same pid means two processes."""
    host: str
    user: str

    def liveness(self) -> Liveness:
        """Whether the process still runs, seen from here; a zombie does not."""
        host, boot_id, namespace = _place()
        if self.boot_id != boot_id:
            return Liveness.REBOOTED if self.host == host else Liveness.ELSEWHERE
        if self.namespace != namespace:
            return Liveness.ELSEWHERE
        return Liveness.ALIVE if _start(self.pid) in (self.start, _HIDDEN) else Liveness.DEAD

    @property
    def alive(self) -> bool:
        """Whether the process runs on this machine."""
        return self.liveness() is Liveness.ALIVE

    @property
    def ended(self) -> bool:
        """Whether the process ran on this machine, and does no more."""
        return self.liveness() is Liveness.DEAD

    @property
    def suspended(self) -> bool:
        """Whether the process runs on this machine, but was stopped by SIGSTOP or Ctrl+Z."""
        return self.alive and _state(self.pid) == "T"

    def same_machine(self) -> bool:
        """Whether the process belongs, or belonged, to the kernel that runs now."""
        return self.boot_id == _place()[1]

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


def identify(pid: int | None = None) -> ProcessIdentity:
    """The identity of process ``pid`` (also one that has ended unreaped), of this process without it.

    Raises:
        ProcessLookupError: if there is no such process.
    """
    own = os.getpid()
    start = _start(own if pid is None else pid, zombie=True)
    if start is None:
        raise ProcessLookupError(f"no process {pid}")
    host, boot_id, namespace = _place()
    return ProcessIdentity(own if pid is None else pid, start, boot_id, namespace, host, _user())


def identity_from(data: object) -> ProcessIdentity | None:
    """The identity that ``asdict`` wrote; ``None`` for anything else."""
    return convert(data, ProcessIdentity)


def _start(pid: int, *, zombie: bool = False) -> float | None:
    """When the process started; ``None`` if it does not run (unless a ``zombie`` counts)."""
    if not (_PROC / "self" / "stat").exists():
        return _start_without_proc(pid, zombie)
    try:
        state, *rest = _stat_fields(pid)
    except (OSError, ValueError):
        return _HIDDEN if _exists(pid) else None
    return None if state in "ZX" and not zombie else float(rest[_START_TIME - 1])


def _state(pid: int) -> str:
    """The kernel's letter for what the process does; empty if it is not known."""
    try:
        return _stat_fields(pid)[0]
    except (OSError, IndexError):
        return ""


def _stat_fields(pid: int) -> list[str]:
    text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()  # the name before it may hold anything


def _start_without_proc(pid: int, zombie: bool) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE and not zombie else process.create_time()
    except psutil.AccessDenied:
        return _HIDDEN
    except psutil.NoSuchProcess:
        return None


def _exists(pid: int) -> bool:
    """Whether there is such a process even where ``/proc`` is mounted with ``hidepid``."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


@cache
def _place() -> tuple[str, str, str]:
    """Host, boot and pid namespace of this process."""
    try:
        boot_id = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        import psutil

        boot_id, namespace = str(int(psutil.boot_time())), ""
    return socket.gethostname(), boot_id, namespace


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a user without a name
        return str(os.getuid())
