"""Single-writer lock for a run directory: ``run.lock`` stores the owner, ``flock`` arbitrates.

The owner keeps an ``flock`` on the file, which ends with its process however that dies.
The file says who it is, for people, and for file systems and machines that the lock does not
reach.  Whoever only looks reads the file and never locks it.
"""

import errno
import fcntl
import json
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.secrets import masked_command
from diffbev_engine.core.state_file import Decoded, UnixTime, decode_file
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import Liveness, ProcessIdentity, identify

_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LENGTH = 4096
_PATIENCE_S = 1.0

LAUNCH_VARIABLE = "DIFFBEV_LAUNCH"
"""Environment variable by which a detached start hands its id to its run."""

_held: set[int] = set()


def _let_go_in_child() -> None:
    """A forked child, such as a loader worker, must not keep the lock of its dead parent."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go_in_child)


@dataclass(frozen=True)
class Owner:
    """Who writes to a run directory."""

    process: ProcessIdentity
    since: UnixTime
    command: tuple[str, ...]
    launch: str | None = None
    """The detached start that the process belongs to."""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        return f"{self.process}, since {since} ({shlex.join(self.command)})"


@dataclass(frozen=True)
class _LockFile(ProcessIdentity):
    """The content of ``run.lock``."""

    since: UnixTime = 0.0
    command: tuple[str, ...] = ()
    launch: str | None = None


class RunHeldError(DiffBEVError):
    """Another training writes to the run directory."""

    def __init__(self, folder: RunFolder, owner: Owner | None) -> None:
        self.owner = owner
        who = owner or "another process (details not available yet)"
        if owner and owner.process.liveness() is Liveness.ELSEWHERE:
            advice = (
                f"It was started on another machine or in another container, so its state cannot be "
                f"checked here. If it is no longer running, delete {folder.lock} and start again"
            )
        else:
            advice = f"Stop it with `diffbev-engine runs stop {shlex.quote(str(folder.path))}`"
        super().__init__(
            f"{folder.path} belongs to a training that is under way: {who}. "
            f"{advice}, or choose another work dir. Nothing was changed."
        )


class RunLock:
    """The right to write to one run directory."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def name_owner(self, process: ProcessIdentity, command: Sequence[str], launch: str | None = None) -> None:
        """Write who the owner is; readers see the old name or the new one."""
        shown = masked_command(command)
        owner = {**asdict(process), "since": time.time(), "command": shown, "launch": launch}
        text = json.dumps(owner)
        if len(text) >= _LENGTH:
            text = json.dumps({**owner, "command": [*shown[:3], "…"]})
        # Always the same length, in one write: no moment with half a name.
        os.pwrite(self._descriptor, f"{text:<{_LENGTH - 1}}\n".encode(), 0)

    def release(self) -> None:
        """Release the directory."""
        with suppress(OSError):
            if _is_same_file(self._descriptor, self._path):
                self._path.unlink()
        _held.discard(self._descriptor)
        os.close(self._descriptor)


def decode_owner(folder: RunFolder) -> Decoded[Owner]:
    """Who is named as the writer of the directory, or what is wrong with the file."""
    found = decode_file(folder.lock, _LockFile)
    if found.value is None:
        return Decoded(problem=found.problem if _size(folder.lock) else "")  # empty: not named yet
    named = found.value
    process = ProcessIdentity(**{one.name: getattr(named, one.name) for one in fields(ProcessIdentity)})
    return Decoded(Owner(process, named.since, named.command, named.launch))


def read_owner(folder: RunFolder) -> Owner | None:
    """Who is named as the writer of the directory, alive or not; ``None`` if nobody is."""
    return decode_owner(folder).value


def refuse_if_held(folder: RunFolder) -> None:
    """Check for a writer without touching the directory.

    Raises:
        RunHeldError: somebody does, or may.
    """
    owner = read_owner(folder)
    if owner and _may_live(owner.process):
        raise RunHeldError(folder, owner)


def take_lock(folder: RunFolder, command: Sequence[str]) -> RunLock:
    """Become the writer of the directory; a lock whose owner is dead is taken over.

    Raises:
        RunHeldError: another process is the writer; nothing was changed.
        DiffBEVError: the lock file cannot be opened.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        descriptor = _open(folder)
        try:
            free = _flock(descriptor)
            if _is_same_file(descriptor, folder.lock):  # else its owner has just removed it
                owner = read_owner(folder)
                if free and not (owner and _may_live(owner.process)):
                    lock = RunLock(folder.lock, descriptor)
                    lock.name_owner(identify(), command)
                    _held.add(descriptor)
                    return lock
                # A new owner is given a moment to write its name, a supervisor one to record the end.
                if (owner and _may_live(owner.process)) or time.monotonic() > deadline:
                    raise RunHeldError(folder, owner)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.02)


@contextmanager
def sole_writer(folder: RunFolder) -> Iterator[None]:
    """Be the only writer of the directory while the block runs.

    A training that was started detached writes under the lock that its supervisor holds.

    Raises:
        RunHeldError: another process is the writer; nothing was changed.
    """
    owner, launch = read_owner(folder), current_launch()
    if owner and launch and owner.launch == launch:
        yield
        return
    lock = take_lock(folder, sys.argv)
    try:
        yield
    finally:
        lock.release()


def current_launch() -> str | None:
    """The id of the detached start that this process belongs to."""
    return os.environ.get(LAUNCH_VARIABLE)


def _may_live(process: ProcessIdentity) -> bool:
    """Whether an owner may be alive although the file is not locked.

    The lock of a supervisor that was killed is gone while its run lives on; some file
    systems have no locks; some do not pass them on to other machines.  The kernel's word
    counts for a container on this machine.
    """
    liveness = process.liveness()
    return liveness is Liveness.ALIVE or (liveness is Liveness.ELSEWHERE and not process.same_machine())


def _open(folder: RunFolder) -> int:
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:
        owner = read_owner(folder)
        if owner:
            raise RunHeldError(folder, owner) from None
        raise DiffBEVError(f"cannot lock {folder.lock}: no permission. Choose another work dir.") from None
    except OSError as error:
        raise DiffBEVError(f"cannot lock {folder.lock}: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DiffBEVError(f"cannot lock {folder.lock}: it is not a regular file. Remove it.")
    return descriptor


def _flock(descriptor: int) -> bool:
    """Whether the lock was got; where there are no locks, the owner's name decides alone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno in _NO_LOCKS_HERE
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
