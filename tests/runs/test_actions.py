"""Stopping saves first, asks once, and signals nobody else."""

import os
import signal
import threading

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs import actions
from diffbev_engine.runs.actions import kill_run, stop_run
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import TrainingArguments, start_detached
from diffbev_engine.runs.status import read_status
from diffbev_engine.runs.verdict import Cause, RunCondition
from tests.processes import wait_until
from tests.runs.children import pretend_training


def _start(folder, slow_save=0.0, leave=""):
    launch = start_detached(folder, pretend_training(folder, slow_save, leave))
    wait_until(lambda: (status := read_status(folder.status)) and status.step > 2)
    return launch


def test_a_stopped_run_has_saved(folder):
    launch = _start(folder)
    stopped = stop_run(folder.path)
    report = stopped.report
    assert (report.state, report.exit_code, report.resumable) == (RunCondition.INTERRUPTED, 5, True)
    assert report.message == "stopped by SIGINT"
    assert stopped.checkpoint == f"iter_{report.status.step}.pth"
    assert (stopped.lost_iterations, launch.process.alive) == (0, False)
    assert f"Saved: {stopped.checkpoint}." in str(stopped)
    assert not folder.stop_request.exists()


def test_two_who_stop_it_send_one_signal(folder):
    _start(folder, slow_save=1.0)  # a second signal while it saves would end it at once
    first = threading.Thread(target=stop_run, args=(folder.path,))
    first.start()
    wait_until(folder.stop_request.exists)
    assert inspect_run(folder.path).activity == "stopping"
    with pytest.raises(DiffBEVError, match=r"did not stop within 0 s.*--kill"):
        stop_run(folder.path, timeout_s=0.0)
    stopped = stop_run(folder.path)
    first.join()
    assert stopped.report.state is RunCondition.INTERRUPTED
    assert stopped.checkpoint


def test_what_has_told_its_end_can_be_resumed_before_its_process_is_gone(folder, tmp_path, monkeypatch):
    leave = tmp_path / "leave"
    launch = _start(folder, leave=leave)
    os.kill(launch.process.pid, signal.SIGINT)
    wait_until(lambda: inspect_run(folder.path).resumable)
    assert launch.process.alive
    alive_at_start = []
    arguments = TrainingArguments("c", folder.path)
    monkeypatch.setattr(actions, "_arguments_again", lambda *_, **__: (arguments, ()))
    start = lambda *_, **__: alive_at_start.append(launch.process.alive) or launch  # noqa: E731
    monkeypatch.setattr(actions, "start_detached", start)
    resuming = threading.Thread(target=actions.resume_run, args=(folder.path,))
    resuming.start()
    leave.touch()
    resuming.join()
    assert alive_at_start == [False]


def test_killing_ends_the_workers_too(folder):
    code = "import subprocess, sys, time\n"
    code += "print(subprocess.Popen(['sleep', '3600']).pid, flush=True)\ntime.sleep(3600)"
    launch = start_detached(folder, [*pretend_training(folder)[:2], code])
    console = folder.path / launch.console
    wait_until(lambda: console.read_text().endswith("\n"))
    stopped = kill_run(folder.path)
    assert (stopped.report.state, stopped.report.cause) == (RunCondition.DEAD, Cause.SIGNAL)
    assert stopped.report.signal == "SIGKILL"
    assert "before its first checkpoint" in str(stopped)
    worker = int(console.read_text())
    wait_until(lambda: not _runs(worker))


def test_nothing_is_signalled_that_does_not_run(folder):
    with pytest.raises(DiffBEVError, match="there is no run"):
        stop_run(folder.path)
    _start(folder)
    stop_run(folder.path)
    with pytest.raises(DiffBEVError, match=r"no run is active in .*interrupted"):
        stop_run(folder.path)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"
