"""``.diffbev/runbook_state.json``: read by anyone at any time, changed by one process at a time."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.runbook.record import CheckRecord, StateFile, StepRecord, StepState
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_VERSION = 1
_NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
Records = Mapping[str, StepRecord]


class StateStore:
    """The records of one workspace.

    Readers never lock: the file is replaced as a whole.  A change reads the newest file under a
    lock, so that two processes lose none of each other's.
    """

    def __init__(self, roots: WorkspacePaths) -> None:
        self._folder = roots.state_folder
        self.path = self._folder / "runbook_state.json"
        self.logs = self._folder / "logs"

    def read(self) -> Records:
        """The records by step.

        Raises:
            DiffBEVError: the file is damaged.
        """
        found = decode_file(self.path, StateFile)
        if found.problem:
            raise DiffBEVError(
                f"{found.problem} (in {self._folder}). Move it away; all steps become pending again. "
                "Then `diffbev-engine runbook run --adopt` accepts the existing results."
            )
        records = found.value.steps if found.value else {}
        return {plain(name): _printable(_with_new_name(record)) for name, record in records.items()}

    def change(self, step: str, change: Callable[[StepRecord], StepRecord]) -> StepRecord:
        """Replace the record of a step by what ``change`` makes of the newest one.

        Raises:
            DiffBEVError: the workspace cannot be written, or whatever ``change`` raises.
        """
        make_writable_dir(self._folder, "state of the runbook")
        with self._locked():
            records = dict(self.read())
            record = change(records.get(step, StepRecord()))
            records[step] = record
            content = {"version": _VERSION, "steps": {name: old.to_json() for name, old in records.items()}}
            write_text(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n", durable=True)
        return record

    def reset(self, step: str) -> None:
        """Forget what is known of a step.

        Raises:
            DiffBEVError: it runs.
        """

        def forget(old: StepRecord) -> StepRecord:
            refuse_if_running(step, old)
            return StepRecord()

        self.change(step, forget)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(
            self._folder / "runbook_state.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            _flock(descriptor)
            yield
        finally:
            os.close(descriptor)


def _with_new_name(record: StepRecord) -> StepRecord:
    return replace(record, deferred=True, put_off=False) if record.put_off else record


def _printable(record: StepRecord) -> StepRecord:
    """Safe to print, and with a log of this workspace: the file may be somebody else's."""
    log = Path(record.log)
    return replace(
        record,
        reason=record.reason.map(_plain) if record.reason else None,
        command=_plain(record.command),
        log="" if log.is_absolute() or ".." in log.parts else plain(record.log),
        lines=tuple(map(_plain, record.lines)),
        checks=tuple(
            CheckRecord(one.description.map(_plain), one.passed, one.detail.map(_plain))
            for one in record.checks
        ),
        problem=plain(record.problem) if record.problem else None,
    )


def _plain(text: str) -> str:
    return plain(text, keep="\n\t")


def refuse_if_running(name: str, record: StepRecord) -> None:
    """Raise if the step runs already, in this or another process."""
    if is_alive(record):
        raise DiffBEVError(
            f"step {name} is already running: {record.process or record.runner}. Wait for it to "
            f"finish, or stop it."
        )


def is_alive(record: StepRecord) -> bool:
    """Whether the shell of a running step, or the runner that is about to start it, still lives."""
    if record.state is not StepState.RUNNING:
        return False
    return any(process.alive for process in (record.process, record.runner) if process)


def log_path(folder: Path, step: str, started: float) -> Path:
    """Where the output of a start goes."""
    return folder / f"{step}_{time.strftime('%Y%m%d_%H%M%S', time.localtime(started))}_{os.getpid()}.log"


def _flock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
