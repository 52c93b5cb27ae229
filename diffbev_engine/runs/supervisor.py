"""Supervisor process: outlives the launcher and records how the training process ended.

It waits for the training and does nothing else: no sockets, no torch, a few megabytes.
It never ends the training and passes no signals on: a shutdown or a scheduler signals every
process, and a second Ctrl+C would end the training before its checkpoint is written.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import open_private
from diffbev_engine.core.format import mib_size
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, telling_environment, write_launch
from diffbev_engine.runs.lock import LAUNCH_VARIABLE, take_lock
from diffbev_engine.runs.oom_kills import OomKills, count_oom_kills
from diffbev_engine.runs.process import STOP_SIGNALS, identify


def main(arguments: Sequence[str]) -> None:
    """``supervisor WORK_DIR ANSWER_FD COMMAND…``; answers the launcher in JSON, then stays."""
    work_dir, answer_to, *command = arguments
    if os.fork():  # the launcher reaps this process at once, and never has to reap the supervisor
        os._exit(0)
    with os.fdopen(int(answer_to), "w", encoding="utf-8") as answers:
        os.set_inheritable(answers.fileno(), False)  # the training must not keep the launcher waiting
        try:
            started = _Supervised(RunFolder(Path(work_dir)), command)
        except DiffBEVError as error:
            json.dump({"error": str(error), "exit_code": int(error.exit_code)}, answers)
            return
        except Exception as error:  # there is nowhere else to say it
            json.dump({"error": f"cannot supervise: {type(error).__name__}: {error}"}, answers)
            return
        json.dump({"launch": started.launch.id}, answers)
    started.wait()


class _Supervised:
    """A training under supervision."""

    def __init__(self, folder: RunFolder, command: Sequence[str]) -> None:
        self._folder = folder
        self._lock = take_lock(folder, command)
        try:
            now = datetime.now()
            environment = telling_environment()
            self.launch = Launch(
                id=secrets.token_hex(8),
                command=tuple(command),
                cwd=str(Path.cwd()),
                environment={name: environment[name] for name in environment if name != LAUNCH_VARIABLE},
                console=folder.console(now).name,
                started=now.timestamp(),
                supervisor=identify(),
            )
            self._lock.name_owner(identify(), command, self.launch.id)
            self._kills = count_oom_kills()
            self._process = self._start()
        except BaseException:
            self._lock.release()
            raise
        process = identify(self._process.pid)  # not reaped yet: the pid is still its own
        self._lock.name_owner(process, command, self.launch.id)
        self.launch = replace(self.launch, process=process)
        write_launch(self._folder, self.launch)

    def _start(self) -> subprocess.Popen[bytes]:
        write_launch(self._folder, self.launch)
        _outlive()
        environment = {
            # What is printed before a crash must be in the file, and where a segfault was.
            **{"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
            # Of several processes one may be killed: the main one then saves, in more than torchrun's 30 s.
            **{"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "600"},
            **os.environ,
            LAUNCH_VARIABLE: self.launch.id,
        }
        with open_private(self._folder.path / self.launch.console, append=True) as console:
            try:
                return subprocess.Popen(
                    self.launch.command,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )
            except OSError as error:
                message = f"cannot start {self.launch.command[0]}: {error.strerror}"
                write_launch(self._folder, replace(self.launch, ended=time.time(), message=message))
                raise DiffBEVError(f"{message}.") from error

    def wait(self) -> None:
        """Wait for the end of the training and record it."""
        _, status, usage = os.wait4(self._process.pid, 0)
        kills = count_oom_kills().since(self._kills)
        code = os.waitstatus_to_exitcode(status)
        self.launch = replace(
            self.launch,
            ended=time.time(),
            exit_code=code if code >= 0 else None,
            signal=signal.Signals(-code).name if code < 0 else None,
            peak_memory_mb=usage.ru_maxrss / 1024,
            oom_kills_cgroup=kills.cgroup,
            oom_kills_host=kills.host,
        )
        self.launch = replace(self.launch, message=_in_words(self.launch, kills))
        try:
            write_launch(self._folder, self.launch)
        finally:
            self._lock.release()


def _in_words(launch: Launch, kills: OomKills) -> str:
    if launch.signal is None:
        return f"ended with exit code {launch.exit_code}"
    ended = f"killed by {launch.signal}"
    if launch.signal != "SIGKILL":
        return ended
    peak = f"peak memory of one process {mib_size(launch.peak_memory_mb or 0)}"
    if kills.cgroup:
        return f"{ended}: host memory ran out, at the memory limit of this container or job ({peak})"
    if kills.host:
        return (
            f"{ended}: host memory ran out; the kernel killed {kills.host} process(es) during the run "
            f"({peak})"
        )
    if kills.cgroup is None and kills.host is None:
        return f"{ended} ({peak}); the kernel's counters of out-of-memory kills are not readable here"
    return f"{ended}, by a user or a scheduler: the kernel reported no out-of-memory kill ({peak})"


def _outlive() -> None:
    """Ignore termination signals.

    SIGHUP stays ignored in the training, as under nohup; the others have handlers here, which
    starting a program resets, because the training must heed them.
    """
    for number in (*STOP_SIGNALS, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    main(sys.argv[1:])
