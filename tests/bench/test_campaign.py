"""Scheduling, with real processes that only pretend to train."""

import json
import subprocess
import sys
import time
from math import inf

import pytest

from diffbev_engine.bench.ablation_runs import Training
from diffbev_engine.bench.scheduler import State, locked, look_up, slots_of, work_off
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.train.signals import StopRequest

# Waits for SIGTERM (once it has said so) and leaves as an interrupted training does.
UNTIL_SIGTERM = """
import pathlib, signal, sys, time
def leave(*_):
    sys.exit(5)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1], "started").touch()
while True:
    time.sleep(0.02)
"""


def finish(training, miou=0.25):
    """Leave the files of a finished run."""
    folder, last = training.folder, training.settings.runner.max_iters
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.status.write_text(
        json.dumps({"state": "finished", "max_iters": last, "step": last, "updated": 1_000_000_090.0})
    )
    manifest = {"started": "2001-09-09T01:46:40+00:00", "devices": ["CPU"]}  # Unix time 1e9
    folder.manifest.write_text(json.dumps(manifest | {"config": training.settings.model_dump(mode="json")}))
    writer = MetricsWriter(folder.metrics)
    writer.write({"step": last, "mode": "eval", "mIoU": miou, "IoU/car": 0.5})
    writer.close()


@pytest.fixture
def trainings(tiny_settings, tmp_path):
    names = [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    return [
        Training(name, seed, "tiny.py", (), tiny_settings, RunFolder(tmp_path / name / f"seed_{seed}"))
        for name, seed in names
    ]


class Launcher:
    """Starts stand-ins and notes what was started where, and how many ran at a time."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour or {}
        self.started, self.most = [], 0
        self._processes = []

    def __call__(self, training, slot):
        self.started.append((training.name, slot))
        training.folder.path.mkdir(parents=True, exist_ok=True)
        code = self.behaviour.get(training.name, "")
        if not code:
            finish(training)
        arguments = [sys.executable, "-c", code, str(training.folder.path)]
        with training.console.open("wb") as console:
            process = subprocess.Popen(
                arguments, stdout=console, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._processes.append(process)
        self.most = max(self.most, sum(process.poll() is None for process in self._processes))
        return process


def run(entries, launcher, *, slots=(None,), stop=None, deadline=inf, ended=lambda _entry: None):
    stop = StopRequest() if stop is None else stop
    work_off(entries, slots, launcher, stop=stop, deadline=deadline, ended=ended)
    return [entry.state.value for entry in entries]


def test_one_slot_keeps_the_order(trainings):
    entries, launcher, ended = look_up(trainings), Launcher(), []
    states = run(entries, launcher, ended=lambda entry: ended.append(entry.training.name))

    assert states == ["finished"] * 4
    assert [name for name, _ in launcher.started] == [training.name for training in trainings] == ended
    assert launcher.most == 1
    assert entries[0].outcome.miou == 0.25
    assert entries[0].outcome.iou["car"] == 0.5
    assert entries[0].outcome.iou["bus"] is None
    assert entries[0].outcome.minutes == 1.5


def test_slots_bound_the_trainings_and_spread_them_over_the_gpus(trainings):
    assert slots_of((), 2) == [None, None]
    assert slots_of((4, 7), 2) == [4, 7, 4, 7]
    launcher = Launcher()
    run(look_up(trainings), launcher, slots=slots_of((4, 7), 1))
    assert [slot for _, slot in launcher.started[:2]] == [4, 7]
    assert launcher.most <= 2


def test_finished_runs_are_not_started_again(trainings):
    finish(trainings[1])
    finish(trainings[2])
    trainings[2].folder.metrics.write_text(
        trainings[2].folder.metrics.read_text().replace("6,eval", "3,eval")
    )
    launcher = Launcher()
    run(look_up(trainings), launcher)
    assert [name for name, _ in launcher.started] == ["a seed 0", "a seed 1", "b seed 1"]


def test_a_failed_run_is_named_and_the_others_go_on(trainings):
    launcher = Launcher(
        {
            "b seed 0": "import sys; print('first'); print('error: out of GPU memory'); sys.exit(3)",
            "a seed 1": "pass",
            "b seed 1": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        }
    )
    entries = look_up(trainings)
    states = run(entries, launcher)

    assert states == ["finished", "failed", "failed", "failed"]
    assert entries[1].message == "exit code 3 (out of gpu memory)\nfirst\nerror: out of GPU memory"
    assert "without a last evaluation" in entries[2].message
    assert "killed by SIGKILL" in entries[3].message


def test_after_the_deadline_nothing_is_started(trainings):
    launcher = Launcher()
    assert run(look_up(trainings), launcher, deadline=time.monotonic()) == ["waiting"] * 4
    assert not launcher.started


def test_a_request_to_stop_reaches_the_running_ones_once(trainings):
    stop = StopRequest()

    class StopsWhenBothRun(Launcher):
        def __call__(self, training, slot):
            process = super().__call__(training, slot)
            while not (training.folder.path / "started").exists():
                assert process.poll() is None
                time.sleep(0.01)
            if len(self.started) == 2:
                stop.signal_name = "SIGINT"
            return process

    entries = look_up(trainings)
    launcher = StopsWhenBothRun({training.name: UNTIL_SIGTERM for training in trainings})
    states = run(entries, launcher, slots=(None, None), stop=stop)

    assert states == ["stopped", "stopped", "waiting", "waiting"]
    assert len(launcher.started) == 2


def test_an_error_of_the_campaign_leaves_no_training_behind(trainings):
    launcher = Launcher({"b seed 0": UNTIL_SIGTERM})
    started = trainings[1].folder.path / "started"

    def ended(_entry):
        while not started.exists():
            time.sleep(0.01)
        raise OSError("disk full")

    entries = look_up(trainings)
    with pytest.raises(OSError, match="disk full"):
        run(entries, launcher, slots=(None, None), ended=ended)
    assert [process.poll() for process in launcher._processes] == [0, 5]
    assert entries[2].state is State.WAITING


def test_a_folder_serves_one_campaign_at_a_time(tmp_path):
    with locked(tmp_path) as lock:
        outliving = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
        with pytest.raises(DiffBEVError, match="in use by another ablation"), locked(tmp_path):
            pass
    with pytest.raises(DiffBEVError, match="a run that a killed ablation left"), locked(tmp_path):
        pass
    outliving.communicate(b"\n", timeout=60)
    with locked(tmp_path):
        pass
