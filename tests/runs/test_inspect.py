"""What has become of a run is judged by evidence, also where its last words are wrong."""

import json
import time
from dataclasses import asdict, replace

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.find import find_runs
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import Launch, write_launch
from diffbev_engine.runs.lock import sole_writer, take_lock
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus, read_status
from diffbev_engine.runs.verdict import SILENT_AFTER_S, Cause, RunCondition

ENDED = replace(identify(), start=1.0)
"""A process whose pid now belongs to another one, namely to this."""


def _write_status(folder, state, updated=None, **fields):
    status = RunStatus(state, 100, updated=time.time() if updated is None else updated, **fields)
    folder.status.write_text(json.dumps(asdict(status)))


def _write_manifest(folder, process, launch=None, started="2026-01-01T00:00:00+00:00"):
    manifest = {"process": asdict(process), "launch": launch, "started": started, "config_path": "c.py"}
    folder.manifest.write_text(json.dumps(manifest))


def _launch(**fields):
    plain = {"id": "1", "command": ("train",), "cwd": "/", "environment": {}, "console": "console_1.log"}
    return Launch(**{**plain, "started": time.time(), "supervisor": ENDED, "process": ENDED, **fields})


def test_a_live_process_runs(folder):
    _write_manifest(folder, identify())
    _write_status(folder, RunState.TRAINING, step=7)
    report = inspect_run(folder.path)
    assert (report.state, report.activity, report.status.step) == (RunCondition.RUNNING, "training", 7)
    assert report.process == identify()
    assert not report.resumable
    json.dumps(report.to_json())


@pytest.mark.parametrize(
    ("process", "cause"),
    [(ENDED, Cause.GONE), (replace(identify(), boot_id="an earlier boot"), Cause.REBOOT)],
)
@pytest.mark.parametrize("state", [RunState.STARTING, RunState.TRAINING, RunState.EVALUATING])
def test_a_run_without_its_process_is_dead_whatever_it_says(folder, process, cause, state):
    _write_manifest(folder, process)
    _write_status(folder, state)
    assert (inspect_run(folder.path).state, inspect_run(folder.path).cause) == (RunCondition.DEAD, cause)
    assert not inspect_run(folder.path).resumable
    folder.latest.touch()
    assert inspect_run(folder.path).resumable


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.OOM, RunState.DIVERGED, RunState.INTERRUPTED])
def test_last_words_are_believed(folder, state):
    _write_manifest(folder, ENDED)
    _write_status(folder, state, message="so it was")
    folder.latest.touch()
    report = inspect_run(folder.path)
    assert (report.state.value, report.message, report.resumable) == (state.value, "so it was", True)


def test_what_has_finished_is_not_resumable(folder):
    _write_status(folder, RunState.FINISHED)
    folder.latest.touch()
    report = inspect_run(folder.path)
    assert (report.state, report.resumable) == (RunCondition.FINISHED, False)


def test_a_resumed_run_is_starting_until_it_says_so_itself(folder):
    _write_manifest(folder, ENDED)
    _write_status(folder, RunState.INTERRUPTED, updated=time.time() - 5)
    with sole_writer(folder):  # in the foreground
        report = inspect_run(folder.path)
        assert (report.state, report.activity) == (RunCondition.RUNNING, "starting")
    assert inspect_run(folder.path).state is RunCondition.INTERRUPTED
    write_launch(folder, _launch(process=identify()))
    report = inspect_run(folder.path)
    assert (report.state, report.activity) == (RunCondition.RUNNING, "starting")
    assert report.detached


def test_a_detached_start_that_failed_early_is_not_hidden_by_the_run_before(folder):
    _write_status(folder, RunState.INTERRUPTED, updated=time.time() - 5)
    folder.latest.touch()
    write_launch(folder, _launch(ended=time.time(), exit_code=2, message="ended with exit code 2"))
    report = inspect_run(folder.path)
    assert (report.state, report.exit_code, report.resumable) == (RunCondition.FAILED, 2, True)
    assert "see console_1.log" in report.message


def test_a_later_start_in_the_foreground_outdates_a_detached_one(folder):
    write_launch(folder, _launch(started=1e9, ended=1e9 + 5, signal="SIGKILL"))
    _write_manifest(folder, identify())
    _write_status(folder, RunState.TRAINING)
    report = inspect_run(folder.path)
    assert (report.state, report.detached, report.signal) == (RunCondition.RUNNING, False, None)


def test_a_run_of_another_machine_is_judged_by_its_heartbeat(folder):
    _write_manifest(folder, replace(identify(), host="gpu7", boot_id="its boot"))
    _write_status(folder, RunState.TRAINING)
    report = inspect_run(folder.path)
    assert report.state is RunCondition.RUNNING
    assert "on gpu7; last heartbeat 0 s ago" in report.message
    _write_status(folder, RunState.TRAINING, updated=time.time() - SILENT_AFTER_S - 60)
    report = inspect_run(folder.path)
    assert (report.state, report.resumable) == (RunCondition.UNKNOWN, False)
    assert "no heartbeat for 11 min" in report.message
    _write_status(folder, RunState.FINISHED)
    assert inspect_run(folder.path).state is RunCondition.FINISHED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "dancing"}', '{"state": "training"}'])
def test_damaged_files_are_no_evidence(folder, content):
    for path in (folder.manifest, folder.status, folder.launch, folder.lock):
        path.write_text(content)
    assert read_status(folder.status) is None
    report = inspect_run(folder.path)
    assert (report.state, report.resumable) == (RunCondition.UNKNOWN, False)
    assert report.message.startswith("its state is not known (")
    assert "status.json is damaged: " in report.message


def test_an_empty_folder_is_no_run(folder):
    with pytest.raises(DiffBEVError, match="there is no run in"):
        inspect_run(folder.path)


def test_looking_does_not_disturb_a_start(folder):
    lock = take_lock(folder, ["train"])
    assert inspect_run(folder.path).state is RunCondition.RUNNING
    assert inspect_run(folder.path).activity == "starting"
    lock.release()


def test_runs_are_found_and_those_set_aside_only_on_request(tmp_path):
    for name in ("runs/b", "runs/a", "runs/a/previous_1", "img_dir/no", ".hidden/no", "1/2/3/4/5/6/7"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "status.json").touch()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    assert [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)] == ["runs/a", "runs/b"]
    found = find_runs(tmp_path / "runs", set_aside=True)
    assert [path.name for path in found] == ["a", "previous_1", "b"]
    assert list(find_runs(tmp_path / "runs/a")) == [tmp_path / "runs/a"]
