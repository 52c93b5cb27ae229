"""Acting on a run: start, resume, stop, kill, apply a remedy.  Every caller uses these functions."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffbev_engine.core.changes import changes
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_text
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.launch import Launch, TrainingArguments, read_launch, start_detached
from diffbev_engine.runs.lock import read_owner, refuse_if_held
from diffbev_engine.runs.manifest import Manifest, RecordedArguments, decode_manifest
from diffbev_engine.runs.process import Liveness, ProcessIdentity
from diffbev_engine.runs.process_signals import kill_tree, send
from diffbev_engine.runs.status import FINAL_STATES, read_status
from diffbev_engine.runs.stop_request import asked_to_stop, record_stop_request
from diffbev_engine.runs.verdict import RunCondition

_POLL_S = 0.1
_RECORDED_WITHIN_S = 60.0
"""torchrun may need half a minute to end after its processes."""


@dataclass(frozen=True)
class Started:
    """A training that runs in the background now."""

    work_dir: Path
    launch: Launch
    """Its command, process and console file."""
    changes: tuple[str, ...] = ()
    """Settings that differ from those of the earlier start, as ``a.b: old → new``."""

    @property
    def console(self) -> Path:
        """What it prints."""
        return self.work_dir / self.launch.console

    def to_json(self) -> dict[str, Any]:
        """The launch, where it is, and what changed."""
        return {**asdict(self.launch), "work_dir": str(self.work_dir), "changes": list(self.changes)}

    def __str__(self) -> str:
        pid = self.launch.process.pid if self.launch.process else "?"
        return f"started in the background, pid {pid}"


@dataclass(frozen=True)
class Stopped:
    """What a stopped run left."""

    report: RunReport
    checkpoint: str | None
    """The file in the run directory from which it continues."""
    lost_iterations: int | None
    """Iterations known to be done after that checkpoint."""

    def __str__(self) -> str:
        status = self.report.status
        step = f" at iteration {status.step}" if status and status.step else ""
        ended = f"{self.report.path}: {self.report.state.value}{step}."
        if self.report.state is RunCondition.FINISHED:
            return ended
        if self.checkpoint is None:
            return f"{ended} It stopped before its first checkpoint was saved."
        lost = f", {self.lost_iterations} iteration(s) before the end" if self.lost_iterations else ""
        return f"{ended} Saved: {self.checkpoint}{lost}."


def start_run(arguments: TrainingArguments) -> Started:
    """Start a run in the background; returns once it runs.

    Raises:
        RunHeldError: another run writes to the work dir; nothing was changed.
        DiffBEVError: it cannot be started.
    """
    folder = RunFolder(arguments.work_dir)
    return Started(arguments.work_dir, start_detached(folder, arguments.command()))


def resume_run(
    path: Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    anyway: bool = False,
    or_restart: bool = False,
) -> Started:
    """Continue a run in the background, as it was started.

    The configuration file is read again, and the variables of the earlier start are set again
    where this process does not have them.

    Args:
        path: the run directory.
        overrides: further ``key=value`` settings.
        environment: further variables.
        anyway: start although a precondition is not met, even if the earlier start did not.
        or_restart: without a checkpoint, start from scratch; what was written is moved to a subdirectory.

    Raises:
        DiffBEVError: it runs, has finished, left no checkpoint, or cannot be started.
    """
    folder = RunFolder(path.resolve())
    report, found = inspect_run(folder.path), decode_manifest(folder)
    wait_until_it_lets_go(folder)
    refuse_if_held(folder)
    if report.state is RunCondition.RUNNING:
        raise DiffBEVError(f"{path} is running: {report.message}.")
    if report.state is RunCondition.FINISHED and not overrides:
        raise DiffBEVError(f"{path} has already finished. To train longer, use --set runner.max_iters=N.")
    restart = or_restart and report.last_checkpoint is None
    if report.last_checkpoint is None and not restart:
        raise DiffBEVError(f"{path} has no checkpoint to resume from. Start a new run with `train`.")
    manifest = found.value
    if manifest is None or not manifest.config:
        why = found.problem or f"{folder.manifest} is missing"
        raise DiffBEVError(f"{why}. Continue with `train --resume`.")
    arguments, changed = _arguments_again(folder, manifest, overrides, anyway=anyway)
    arguments = replace(arguments, resume=None) if restart else arguments
    earlier = read_launch(folder)
    kept = dict(earlier.environment) if earlier else {}
    kept = {name: value for name, value in kept.items() if name not in os.environ}
    launch = start_detached(
        folder, arguments.command(), cwd=Path(manifest.cwd), environment={**kept, **(environment or {})}
    )
    return Started(folder.path, launch, changed)


def apply_remedy(path: Path, overrides: Sequence[str], environment: Mapping[str, str]) -> Started:
    """Resume a run with the settings and variables of a remedy of ``oom_report.json`` or of a finding.

    A run that failed before its first checkpoint is started from scratch.

    Raises:
        DiffBEVError: the remedy changes nothing that a start can change, or as ``resume_run``.
    """
    if not overrides and not environment:
        raise DiffBEVError("this remedy has no setting to apply; follow its text, then resume the run.")
    return resume_run(path, overrides, environment, or_restart=True)


def stop_run(
    path: Path, *, timeout_s: float = 300.0, waiting: Callable[[float], None] = lambda _seconds: None
) -> Stopped:
    """Ask a run to save a checkpoint and end, and wait until it has.

    It gets SIGINT once, however often and by whomever it is asked: a second signal would end it
    before it has saved.

    Args:
        path: the run directory.
        timeout_s: how long to wait.
        waiting: called repeatedly with the seconds waited.

    Raises:
        DiffBEVError: nothing runs there, or on another machine, or it has not ended in time.
    """
    folder = RunFolder(path)
    process = _running(path)
    if not asked_to_stop(folder, process):
        record_stop_request(folder, process)
        send(process, signal.SIGINT)
    if process.suspended:
        send(process, signal.SIGCONT)  # it heeds nothing else until then
    return _ended(folder, process, timeout_s, waiting)


def kill_run(path: Path, *, timeout_s: float = 300.0) -> Stopped:
    """SIGKILL a run and its workers; progress since the last checkpoint is lost.

    Raises:
        DiffBEVError: nothing runs there, or on another machine, or it has not ended in time.
    """
    folder = RunFolder(path)
    process = _running(path)
    kill_tree(_root(folder, process))
    return _ended(folder, process, timeout_s, lambda _seconds: None)


def what_is_left(path: Path) -> Stopped:
    """From where a run would continue, and what it would have to do again."""
    report = inspect_run(path)
    saved = RunFolder(path).checkpoints()
    if not saved:
        return Stopped(report, None, None)
    iteration, checkpoint = saved[-1]
    lost = max(0, report.status.step - iteration) if report.status else None
    return Stopped(report, checkpoint.name, lost)


def _arguments_again(
    folder: RunFolder, manifest: Manifest, overrides: Sequence[str], *, anyway: bool = False
) -> tuple[TrainingArguments, tuple[str, ...]]:
    """The arguments of the earlier start with ``overrides``, and the settings that differ now."""
    from diffbev_engine.config.load import load_settings

    if not _is_directory(manifest.cwd):
        raise DiffBEVError(f"the run was started in {manifest.cwd}: no such directory. Use `train --resume`.")
    recorded = manifest.arguments or _recorded_settings(folder, manifest)
    arguments = TrainingArguments(
        config=recorded.config,
        work_dir=folder.path,
        gpu_ids=recorded.gpu_ids,
        overrides=(*recorded.overrides, *overrides),
        resume="latest",
        processes=manifest.world_size,
        anyway=anyway or recorded.anyway,
    )
    in_its_folder = Path(manifest.cwd) / recorded.config  # else it is the name of a preset
    config = in_its_folder if in_its_folder.exists() else recorded.config
    settings = load_settings(config, arguments.overrides)
    return arguments, tuple(map(str, changes(manifest.config, settings.model_dump(mode="json"))))


def _recorded_settings(folder: RunFolder, manifest: Manifest) -> RecordedArguments:
    """The recorded settings as a configuration file, for a run that was not started by `train`."""
    from pydantic import ValidationError

    from diffbev_engine.config.load import dump_config
    from diffbev_engine.config.settings import Settings

    try:
        settings = Settings.model_validate(manifest.config)
    except ValidationError as error:
        raise DiffBEVError(
            f"the settings in {folder.manifest} do not fit this version: {error.errors()[0]['msg']}. "
            "Continue with `train --resume`."
        ) from error
    recorded = folder.path / "recorded_config.py"
    write_text(recorded, dump_config(settings))
    return RecordedArguments(str(recorded))


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except ValueError:  # a null byte
        return False


def _running(path: Path) -> ProcessIdentity:
    report = inspect_run(path)
    process = report.process
    if process is None or not process.alive:
        if process and report.state is RunCondition.RUNNING and process.liveness() is Liveness.ELSEWHERE:
            raise DiffBEVError(f"{path} runs {report.message}: stop it there.")
        raise DiffBEVError(
            f"no run is active in {path} (state: {report.state.value}). {report.message}".strip()
        )
    return process


def _ended(
    folder: RunFolder, process: ProcessIdentity, timeout_s: float, waiting: Callable[[float], None]
) -> Stopped:
    """Wait for the end of ``process``, and for its supervisor to record it."""
    started = time.monotonic()
    while process.alive:
        waited = time.monotonic() - started
        if waited > timeout_s:
            raise DiffBEVError(
                f"{process} did not stop within {timeout_s:.0f} s; it may still be saving or "
                f"finishing a long iteration. Run the same command again to keep waiting, or kill "
                f"it with --kill --yes (progress since the last checkpoint is lost)."
            )
        waiting(waited)
        time.sleep(_POLL_S)
    # The supervisor sees the end a moment later; where it was killed too, nobody will.
    launch = read_launch(folder)
    deadline = time.monotonic() + _RECORDED_WITHIN_S
    while launch and launch.ended is None and launch.supervisor.alive and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        launch = read_launch(folder)
    folder.stop_request.unlink(missing_ok=True)
    return what_is_left(folder.path)


def wait_until_it_lets_go(folder: RunFolder) -> None:
    """A run that has told its end, but whose processes take a moment to go, is no longer under way."""
    status = read_status(folder.status)
    if status is None or status.state not in FINAL_STATES:
        return
    deadline = time.monotonic() + _RECORDED_WITHIN_S
    while time.monotonic() < deadline:
        owner = read_owner(folder)
        if owner is None or not owner.process.alive or owner.since > status.updated:
            return
        time.sleep(_POLL_S)


def _root(folder: RunFolder, process: ProcessIdentity) -> ProcessIdentity:
    """The process that was started, such as torchrun, where that is not the training itself."""
    owner = read_owner(folder)
    return owner.process if owner and owner.process.alive else process
