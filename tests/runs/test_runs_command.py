"""A real training, started detached, listed, stopped, killed and resumed from the command line."""

import csv
import json
import os
import signal
import sys

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.runs import actions
from diffbev_engine.runs.actions import _arguments_again, apply_remedy
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import read_launch, start_detached
from diffbev_engine.runs.manifest import Manifest
from diffbev_engine.runs.status import RunState, StatusWriter
from tests.processes import PATIENCE_S, engine, wait_until


def _run(*arguments, code=0):
    process = engine(*arguments)
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == code, output
    return output


def _json(*arguments):
    return json.loads(_run(*arguments, "--json"))


def _rows(folder):
    """Complete training rows so far."""
    if not folder.metrics.exists():
        return []
    return [int(row["step"]) for row in csv.DictReader(folder.metrics.open()) if row["mode"] == "train"]


@pytest.mark.slow
def test_a_run_lives_through_stop_kill_and_resume(folder, tiny_config, tmp_path):
    work_dir, latest = str(folder.path), folder.latest
    endless = ("--set", "runner.max_iters=100000", "--set", "evaluation.interval=100000")
    started = _json("train", tiny_config, "--work-dir", work_dir, *endless, "--detach")
    assert started["process"]["pid"] != started["supervisor"]["pid"]
    wait_until(lambda: len(_rows(folder)) > 3)
    [listed] = _json("runs", "list", tmp_path)
    assert (listed["path"], listed["state"], listed["activity"]) == (work_dir, "running", "training")
    assert listed["process"] == started["process"]
    assert "▶ running" in _run("runs", "list", tmp_path)
    assert "belongs to a training" in _run("train", tiny_config, "--work-dir", work_dir, "--detach", code=1)
    assert "--kill --yes" in _run("runs", "stop", work_dir, "--kill", code=2)

    stopped = _json("runs", "stop", work_dir)
    last = stopped["status"]["step"]
    assert (stopped["state"], stopped["exit_code"], stopped["lost_iterations"]) == ("interrupted", 5, 0)
    assert stopped["checkpoint"] == f"iter_{last}.pth"
    assert "runs resume" in _run("runs", "show", work_dir)
    assert "no run is active" in _run("runs", "stop", work_dir, code=1)

    again = _json("runs", "resume", work_dir, "--set", "checkpoint_config.interval=1")
    assert again["changes"] == ["checkpoint_config.interval: 2 → 1"]
    wait_until(lambda: len(_rows(folder)) > last + 3)
    os.kill(again["process"]["pid"], signal.SIGKILL)
    wait_until(lambda: read_launch(folder).ended)
    dead = _json("runs", "show", work_dir)
    assert (dead["state"], dead["cause"], dead["signal"]) == ("dead", "signal", "SIGKILL")
    assert (dead["resumable"], dead["status"]["state"]) == (True, "training")
    assert latest.exists()

    end = len(_rows(folder)) + 3
    _run("runs", "resume", work_dir, "--set", f"runner.max_iters={end}")
    wait_until(lambda: read_launch(folder).ended)
    finished = _json("runs", "show", work_dir)
    console = folder.path / finished["console"]
    assert (finished["state"], finished["resumable"]) == ("finished", False), console.read_text()
    assert _rows(folder) == list(range(1, end + 1))
    assert not folder.lock.exists()
    assert "already finished" in _run("runs", "resume", work_dir, code=1)
    assert len(list(folder.path.glob("console_*.log"))) == 3


@pytest.mark.slow
def test_a_new_start_moves_the_earlier_launch_aside_but_not_its_own(folder, tiny_config):
    first = start_detached(folder, [sys.executable, "-c", "print('an earlier run')"])
    wait_until(lambda: read_launch(folder).ended)
    folder.metrics.write_text("step,mode\n1,train\n")
    StatusWriter(folder.status, 1).update(state=RunState.FINISHED, step=1)
    start = ("train", tiny_config, "--work-dir", folder.path, "--set", "evaluation.interval=100")
    second = _json(*start, "--detach")
    wait_until(lambda: read_launch(folder).ended)
    [aside] = folder.path.glob("previous_*")
    assert (aside / first.console).read_text() == "an earlier run\n"
    assert (folder.path / second["console"]).exists()
    assert read_launch(folder).id == second["id"]
    [now, earlier] = _json("runs", "list", folder.path, "--all")
    assert (now["state"], earlier["state"]) == ("finished", "finished")
    assert RunFolder(aside).metrics.exists()


def test_a_run_made_in_python_resumes_with_its_recorded_settings(folder, tiny_settings):
    manifest = Manifest(config=tiny_settings.model_dump(mode="json"))
    arguments, changes = _arguments_again(folder, manifest, ("runner.max_iters=9",))
    assert len(changes) == 1
    assert load_settings(arguments.config) == tiny_settings
    assert arguments.command()[-4:] == [str(folder.path), "--set", "runner.max_iters=9", "--resume"]


def test_a_remedy_for_a_run_without_a_checkpoint_starts_it_from_scratch(folder, tiny_settings, monkeypatch):
    manifest = {"config": tiny_settings.model_dump(mode="json"), "cwd": str(folder.path), "pid": 2**22 - 5}
    folder.manifest.write_text(json.dumps(manifest))
    started = []
    monkeypatch.setattr(actions, "start_detached", lambda _, command, **more: started.append((command, more)))
    apply_remedy(folder.path, ["data.samples_per_gpu=1"], {"A": "1"})
    [(command, more)] = started
    assert command[-2:] == ["--set", "data.samples_per_gpu=1"]
    assert "--resume" not in command
    assert more["environment"] == {"A": "1"}


@pytest.mark.slow
def test_a_mistake_in_the_configuration_starts_nothing(folder, tiny_config):
    output = _run("train", tiny_config, "--work-dir", folder.path, "--detach", "--set", "seeed=1", code=2)
    assert "seeed" in output
    assert list(folder.path.iterdir()) == []
    assert "there is no run" in _run("runs", "show", folder.path, code=1)
