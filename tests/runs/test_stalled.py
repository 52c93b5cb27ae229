"""A run that makes no progress is called stalled for as long as that lasts, and nothing else is."""

import json
import os
import signal
import time
from dataclasses import asdict

import pytest

from diffbev_engine.runs import status as status_module
from diffbev_engine.runs.actions import stop_run
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import start_detached
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import Phase, RunState, RunStatus, StatusWriter, read_status
from diffbev_engine.runs.verdict import RunCondition
from tests.processes import wait_until
from tests.runs.children import pretend_training


def _report(folder, *, state=RunState.TRAINING, phase=Phase.STEPPING, idle_s=0.0, config=None, **fields):
    me = identify()
    fields = {
        "updated": time.time(),
        "monotonic": time.monotonic(),
        "median_step_s": 0.5,
        "process": me,
        **fields,
    }
    fields |= {"it_per_s": 2.0, "images_per_s": 8.0, "data_wait": 0.1, "eta_s": 100.0}
    status = RunStatus(state, 1000, step=70, phase=phase, idle_s=idle_s, **fields)
    folder.status.write_text(json.dumps(asdict(status)))
    folder.manifest.write_text(json.dumps({"process": asdict(me), "config": config or {}}))
    return inspect_run(folder.path)


def test_a_minute_without_an_iteration_is_a_stall(folder):
    well = _report(folder, idle_s=40)
    assert (well.state, well.activity, well.stalled, well.reason) == (
        RunCondition.RUNNING,
        "training",
        False,
        "",
    )
    assert (well.it_per_s, well.eta_s) == (2.0, 100.0)
    stalled = _report(folder, idle_s=90)
    assert (stalled.state, stalled.activity, stalled.stalled) == (RunCondition.RUNNING, "stalled", True)
    assert "no iteration for 1 min 30 s" in stalled.reason
    assert stalled.stall is not None
    assert "已有 1 分 30 秒没有新的迭代" in stalled.stall.zh
    assert stalled.age_s >= 90
    speeds = stalled.it_per_s, stalled.images_per_s, stalled.data_wait, stalled.eta_s
    assert speeds == (None, None, None, None)
    assert not stalled.resumable
    assert _report(folder, idle_s=86_400).stalled, "it does not wear off"


def test_slow_iterations_get_ten_times_their_time(folder):
    assert not _report(folder, idle_s=150, median_step_s=20.0).stalled
    assert _report(folder, idle_s=250, median_step_s=20.0).stalled


def test_what_takes_its_time_is_no_stall(folder):
    for phase in set(Phase) - {Phase.STEPPING}:
        report = _report(folder, phase=phase, idle_s=9000)
        assert (report.stalled, report.age_s >= 9000) == (False, True), phase
    assert (
        _report(folder, state=RunState.EVALUATING, phase=Phase.EVALUATING, idle_s=9000).activity
        == "evaluating"
    )
    assert not _report(folder, idle_s=9000, median_step_s=None, it_per_s=None, phase=Phase.STARTING).stalled


def test_the_age_does_not_depend_on_the_clock(folder):
    ahead = _report(folder, idle_s=90, updated=time.time() + 3600)  # the clock was set back since
    assert ahead.stalled
    assert 90 <= ahead.age_s < 3600
    assert not _report(folder, idle_s=5, updated=time.time() - 3600).stalled  # or forward


def test_a_clock_set_back_does_not_keep_the_heartbeat_from_being_written(folder, monkeypatch):
    writer = StatusWriter(folder.status, 10, interval_s=0)
    now = time.time()
    monkeypatch.setattr(status_module.time, "time", lambda: now - 3600)
    writer.update(step=7)
    assert read_status(folder.status).step == 7


def test_a_status_without_phases_tells_a_step_only_with_each_row(folder):
    old = {"phase": None, "monotonic": None, "median_step_s": None, "process": None}
    config = {"log_config": {"interval": 50}}  # at 2 it/s a row every 25 s
    assert not _report(folder, **old, updated=time.time() - 70, config=config).stalled
    assert _report(folder, **old, updated=time.time() - 80, config=config).stalled
    assert not _report(
        folder, **old, updated=time.time() - 140, config={"log_config": {"interval": 100}}
    ).stalled


def test_progress_is_an_iteration_an_evaluated_batch_or_another_phase(folder):
    writer = StatusWriter(folder.status, 10, interval_s=0)
    writer._progressed -= 500
    writer.update(it_per_s=1.0)
    assert read_status(folder.status).idle_s >= 500
    for change in (
        {"step": 1},
        {"state": RunState.EVALUATING},
        {"evaluated": "8 images"},
        {"phase": Phase.SAVING},
    ):
        writer._progressed -= 500
        writer.update(**change)
        assert read_status(folder.status).idle_s < 400, change


def test_a_suspended_process_is_called_so_at_once_and_can_be_stopped(folder):
    launch = start_detached(folder, pretend_training(folder))
    wait_until(lambda: (status := read_status(folder.status)) and status.step > 2)
    os.kill(launch.process.pid, signal.SIGSTOP)
    wait_until(lambda: launch.process.suspended)
    report = inspect_run(folder.path)
    assert (report.state, report.activity) == (RunCondition.RUNNING, "stalled")
    assert (report.reason, report.eta_s) == ("suspended (SIGSTOP)", None)
    assert stop_run(folder.path).report.state is RunCondition.INTERRUPTED


@pytest.mark.parametrize("stop", [False, True])
def test_an_unfinished_start_is_not_stalled_by_what_an_earlier_one_said(folder, stop):
    _report(folder, idle_s=9000, process=None, launch="earlier", monotonic=None, updated=time.time() - 9000)
    folder.lock.write_text(json.dumps({**asdict(identify()), "since": time.time(), "command": []}))
    if stop:
        folder.stop_request.write_text(json.dumps({"process": asdict(identify())}))
    report = inspect_run(folder.path)
    assert (report.activity, report.stalled) == ("stopping" if stop else "starting", False)
