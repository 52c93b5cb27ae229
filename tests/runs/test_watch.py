"""A process of its own watches a training, and tells what happened to it, however it ended."""

import os
import signal
import subprocess
import sys

import pytest

from diffbev_engine.runs import watch
from diffbev_engine.runs.alerts import AlertKind, read_alerts
from diffbev_engine.runs.notify import Notifier, NotifySettings
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import read_status
from diffbev_engine.runs.system import read_system
from tests.processes import wait_until
from tests.runs.children import pretend_training


@pytest.fixture
def training(folder):
    process = subprocess.Popen(pretend_training(folder), stdout=subprocess.DEVNULL)
    wait_until(lambda: (status := read_status(folder.status)) and status.step > 2)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture
def watcher(folder, training):
    command = [sys.executable, "-m", "diffbev_engine.runs.watch", str(folder.path), str(training.pid)]
    process = subprocess.Popen(command)
    yield process
    process.kill()
    process.wait()


def _kinds(folder):
    return [alert.kind for alert in read_alerts(folder.alerts)]


def test_a_suspended_training_is_told_and_that_it_makes_progress_again(folder, training):
    look = watch.Watch(folder, identify(training.pid), Notifier(NotifySettings()))
    look.poll()
    assert _kinds(folder) == []
    os.kill(training.pid, signal.SIGSTOP)
    wait_until(lambda: (look.poll(), _kinds(folder) == [AlertKind.STALLED])[1])
    assert "SIGSTOP" in read_alerts(folder.alerts)[0].message
    os.kill(training.pid, signal.SIGCONT)
    wait_until(lambda: (look.poll(), _kinds(folder)[1:] == [AlertKind.CONTINUES])[1])


def test_the_machine_is_recorded_while_it_trains(folder, training, watcher):
    wait_until(lambda: read_system(folder.system).times)
    history = read_system(folder.system)
    assert history.columns["host_total_mib"][0] > 0
    assert history.columns["step"][0] > 0
    training.send_signal(signal.SIGTERM)
    assert watcher.wait(30) == 0
    assert _kinds(folder) == [AlertKind.INTERRUPTED]
    assert "SIGTERM" in read_alerts(folder.alerts)[0].message


def test_a_killed_training_is_told_by_who_watched_it(folder, training, watcher):
    wait_until(lambda: folder.system.exists())
    training.kill()
    training.wait()
    assert watcher.wait(30) == 0
    assert _kinds(folder) == [AlertKind.DEAD]


def test_a_run_directory_that_is_removed_ends_nothing(folder, training, watcher):
    wait_until(lambda: folder.system.exists())
    moved = folder.path.rename(folder.path.with_name("moved"))
    training.kill()
    training.wait()
    assert watcher.wait(30) == 0
    moved.rename(folder.path)
