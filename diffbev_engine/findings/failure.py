"""The facts about a failure: logs of the newest start, how the run ended, its reports; and what they show.

Nothing here changes anything.  A detector takes the facts and gives the evidence, or ``None``.
"""

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.disk import disk_is_low, free_bytes, size_of
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.gpu.reading import read_gpus
from diffbev_engine.core.regular_file import read_end
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.findings.catalogue import LogText
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.launch import read_launch
from diffbev_engine.runs.oom_kills import OomKills
from diffbev_engine.runs.verdict import Cause, RunCondition

_TAIL = 4 * 1024 * 1024
_STAMP = re.compile(r"(train|console)_(\d{8}_\d{6})\.log")
_OTHER_LOGS = ("*.log", "*.out", "*.err")
_ENDED_BADLY = (RunCondition.FAILED, RunCondition.OOM, RunCondition.DIVERGED, RunCondition.INTERRUPTED)
NATIVE_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP")
_SIGNALS_ZH = {
    "SIGSEGV": "段错误",
    "SIGBUS": "总线错误（共享内存不足，或内存映射的文件已消失）",
    "SIGABRT": "库主动中止",
    "SIGILL": "非法指令",
    "SIGFPE": "算术异常",
}
_SIGNALS_EN = {
    "SIGSEGV": "a segmentation fault",
    "SIGBUS": "a bus error: shared memory ran out, or a memory-mapped file disappeared",
    "SIGABRT": "a library aborted",
    "SIGILL": "an illegal instruction",
    "SIGFPE": "an arithmetic exception",
}


@dataclass(frozen=True)
class FailureContext:
    """Everything that a diagnosis may use."""

    logs: tuple[LogText, ...] = ()
    """Of the newest start only: its log, its console output, the message in ``status.json``."""
    run_dir: Path | None = None
    run: RunReport | None = None
    exit_code: int | None = None
    oom_report: Mapping[str, Any] = field(default_factory=dict)
    workspace: Path | None = None
    data_root: Path | None = None
    nuscenes_root: Path | None = None
    """Where it is not the data root itself."""
    run_dirs: tuple[Path, ...] = ()
    """Runs that the failure can be about, where it is not one run."""
    suspects: tuple[str, ...] = ()
    """Problems that the failed step usually has."""

    @property
    def state(self) -> RunCondition | None:
        """Of the run; ``None`` for a bare log."""
        return self.run.state if self.run else None

    @property
    def is_well(self) -> bool:
        """Whether nothing has failed: the run has finished or is still running, or its log says so."""
        if self.exit_code:
            return False
        if self.run is None:
            return bool(self.logs) and all(log.ended_well for log in self.logs)
        return self.state in (RunCondition.FINISHED, RunCondition.RUNNING)

    @property
    def signal(self) -> str:
        """The signal that ended the process, such as ``SIGKILL``; "" if none is known."""
        if self.run and self.run.signal:
            return self.run.signal
        return signal_of(self.exit_code)


def signal_of(exit_code: int | None) -> str:
    """The signal behind an exit code, as Python (-9), shells (137) or a byte (247) write it."""
    code = exit_code or 0
    number = -code if code < 0 else code - 128 if 128 < code <= 192 else 256 - code if 192 < code < 256 else 0
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return ""


def context_of(target: Path) -> FailureContext:
    """The facts about a run directory or a log.

    Raises:
        UsageError: there is no such file or directory.
    """
    if target.is_dir():
        return context_of_run(target)
    if not target.is_file():
        raise UsageError(f"no run directory or log {target}. `diffbev-engine runs list` lists the runs.")
    log = LogText(read_tail(target))
    about = context_of_run(target.parent)
    if about.run is None or target.name not in {log.name for log in about.logs}:
        return FailureContext(logs=(log,))
    return replace(about, logs=(log, *(each for each in about.logs if each.name == "status.json")))


def context_of_run(run_dir: Path) -> FailureContext:
    """The facts about the newest start in a run directory."""
    folder = RunFolder(run_dir)
    try:
        run = inspect_run(run_dir)
    except DiffBEVError:  # a directory of logs
        run = None
    logs = [LogText(read_tail(path), path.name) for path in newest_logs(run_dir, run)]
    if run and run.state in _ENDED_BADLY and run.status and run.status.message:
        logs.append(LogText(run.status.message, "status.json"))
    report = decode_file(folder.oom_report, dict[str, Any]).value or {}
    written = report.get("written")
    if run and run.started and isinstance(written, int | float) and written < run.started - 1:
        report = {}
    if run and run.state in (RunCondition.FINISHED, RunCondition.DIVERGED):
        report = {}
    return FailureContext(
        logs=tuple(logs),
        run_dir=run_dir,
        run=run,
        exit_code=run.exit_code if run else None,
        oom_report=report,
    )


def newest_logs(run_dir: Path, run: RunReport | None = None) -> list[Path]:
    """What the newest start wrote: its log, its console output, and what a scheduler kept of it."""
    stamped: dict[str, list[tuple[str, Path]]] = {"train": [], "console": []}
    others: list[Path] = []
    for path in sorted({path for pattern in _OTHER_LOGS for path in run_dir.glob(pattern) if path.is_file()}):
        if match := _STAMP.fullmatch(path.name):
            stamped[match[1]].append((match[2], path))
        else:
            others.append(path)
    trains, consoles = sorted(stamped["train"]), sorted(stamped["console"])
    found: list[Path] = []
    if consoles and (not trains or consoles[-1][0] > trains[-1][0]):
        found, begun = [consoles[-1][1]], consoles[-1][0]  # it ended before it had a log
    elif trains:
        begun = trains[-1][0]
        before = trains[-2][0] if len(trains) > 1 else ""
        found = [trains[-1][1], *(path for stamp, path in consoles[-1:] if stamp > before)]
    if not found:
        return sorted(others, key=lambda path: path.stat().st_mtime)[-2:]
    if run and run.console and (run_dir / run.console).is_file():
        found.append(run_dir / run.console)
    try:
        since = datetime.strptime(begun, "%Y%m%d_%H%M%S").timestamp()
    except (ValueError, OverflowError):  # a name of digits that are no date
        since = 0.0
    found += [path for path in others if path.stat().st_mtime >= since]
    return list(dict.fromkeys(found))


def read_tail(path: Path, most: int = _TAIL) -> str:
    """The end of a text file; empty when it cannot be read."""
    try:
        return read_end(path, most).decode("utf-8", errors="replace")
    except OSError:
        return ""


def oom_report(context: FailureContext) -> Bilingual | None:
    """The run wrote ``oom_report.json``."""
    if not context.oom_report:
        return None
    return Bilingual("存在 oom_report.json", "oom_report.json exists")


def host_memory_exhausted(context: FailureContext) -> Bilingual | None:
    """The kernel counted a kill because memory ran out: of the run itself, or of a process of its job."""
    if context.run and context.run.cause is Cause.HOST_MEMORY:
        return Bilingual(f"SIGKILL，内核记录了内存不足：{context.run.message}", context.run.message)
    kills = _oom_kills(context)
    if not kills.cgroup:
        return None
    return Bilingual(
        f"运行期间，内核因内存不足终止了此容器或作业中的 {kills.cgroup} 个进程",
        f"the kernel killed {kills.cgroup} process(es) of this container or job because memory ran out",
    )


def host_memory_possible(context: FailureContext) -> Bilingual | None:
    """SIGKILL, and nobody knows whether the kernel did it; or the kernel killed others on the machine."""
    if host_memory_exhausted(context):
        return None
    kills = _oom_kills(context)
    if kills.host:
        return Bilingual(
            f"运行期间，内核因内存不足终止了本机的 {kills.host} 个进程",
            f"the kernel killed {kills.host} process(es) on this machine meanwhile because memory ran out",
        )
    if context.signal != "SIGKILL" or kills.host == 0:
        return None  # the kernel's own count says no
    return Bilingual(
        "SIGKILL，但没有内核或 cgroup 的记录；可用 dmesg 确认",
        "SIGKILL, without a record of the kernel or the cgroup; `dmesg` tells",
    )


def _oom_kills(context: FailureContext) -> OomKills:
    """What the kernel counted while a run that failed was supervised."""
    launch = read_launch(RunFolder(context.run_dir)) if context.run_dir and context.run else None
    if launch is None or context.state not in (RunCondition.FAILED, RunCondition.DEAD):
        return OomKills(None, None)
    return OomKills(launch.oom_kills_cgroup, launch.oom_kills_host)


def killed(context: FailureContext) -> Bilingual | None:
    """A signal from outside ended the process."""
    name = context.signal
    if not name or name in NATIVE_CRASHES or host_memory_exhausted(context):
        return None
    message = context.run.message if context.run and context.run.signal else ""
    return Bilingual(f"信号 {name}", f"{name}" + (f": {message}" if message else ""))


def crashed(context: FailureContext) -> Bilingual | None:
    """The process crashed in native code."""
    name = context.signal
    if name not in NATIVE_CRASHES:
        return None
    return Bilingual(
        f"信号 {name}：{_SIGNALS_ZH.get(name, '本机代码崩溃')}",
        f"{name}: {_SIGNALS_EN.get(name, 'a crash in native code')}",
    )


def rebooted(context: FailureContext) -> Bilingual | None:
    """The machine was restarted while the run was going."""
    if context.run is None or context.run.cause is not Cause.REBOOT:
        return None
    return Bilingual("运行期间机器重新启动过", context.run.message)


def vanished(context: FailureContext) -> Bilingual | None:
    """The process no longer exists, and nothing recorded how it ended."""
    run = context.run
    if run is None or run.cause is not Cause.GONE:
        return None
    if any("Traceback (most recent call last)" in line for log in context.logs for line in log.lines[-80:]):
        return None
    pid = run.process.pid if run.process else "?"
    said = run.status.state.value if run.status else "?"
    return Bilingual(
        f"进程 {pid} 已不存在，而状态仍为 {said}；没有记录结束的方式",
        f"process {pid} no longer exists while its status says {said}; nothing recorded how it ended",
    )


def disk_full(context: FailureContext) -> Bilingual | None:
    """A disk has no room for the next checkpoints."""
    checkpoint = size_of(RunFolder(context.run_dir).latest) if context.run_dir else None
    for place in (context.run_dir, context.workspace, context.data_root):
        free = free_bytes(place) if place else None
        if free is not None and disk_is_low(free, checkpoint):
            shown = byte_size(free, 2)
            return Bilingual(f"{place}：剩余 {shown}", f"{place}: {shown} free")
    return None


def no_gpu(context: FailureContext) -> Bilingual | None:  # noqa: ARG001
    """No NVIDIA GPU answers."""
    found = read_gpus()
    return found.problem if found.trouble and found.trouble.means_no_gpu else None


Detector = Callable[[FailureContext], Bilingual | None]
_OF_THE_RUN: Sequence[Detector] = (
    *(oom_report, host_memory_exhausted, host_memory_possible, killed, crashed, rebooted, vanished),
)
_OF_THE_MACHINE: Sequence[Detector] = (disk_full, no_gpu)
DETECTORS: Mapping[str, Detector] = {
    detector.__name__: detector for detector in (*_OF_THE_RUN, *_OF_THE_MACHINE)
}
OF_THE_RUN = frozenset(detector.__name__ for detector in _OF_THE_RUN)
"""Detectors whose evidence the failure itself left; the others are about the machine now."""
POSSIBLE = frozenset({host_memory_possible.__name__})
"""Detectors whose evidence makes a problem possible, not certain."""
