"""Ctrl+C, a closing terminal and a scheduler's signals lose nothing."""

import json
import os
import signal

import pytest

from diffbev_engine.core.errors import InterruptedTraining
from diffbev_engine.train.signals import stop_on_signals
from tests.processes import PATIENCE_S, engine, wait_until

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _handlers():
    """Every test begins with default handlers, whatever pytest was started under, and leaves none."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOP}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_each_signal_is_a_request_and_the_first_says_so_once(capfd):
    for number in STOP:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), number)
            if number != signal.SIGINT:
                os.kill(os.getpid(), number)  # a scheduler may repeat it; the save goes on
            assert stop.signal_name == number.name
        assert signal.getsignal(number) is signal.SIG_DFL
        said = capfd.readouterr().err
        assert said.count("saving a checkpoint after this iteration") == 1
        assert ("press Ctrl+C again" in said) == (number == signal.SIGINT)


def test_before_there_is_anything_to_save_a_signal_ends_it_at_once():
    with stop_on_signals(announce=False) as stop:
        words = r"stopped by SIGTERM before training began"
        with pytest.raises(InterruptedTraining, match=words), stop.nothing_to_save():
            os.kill(os.getpid(), signal.SIGTERM)


def _a_reader_of_damaged_files(becomes):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Exception as error:
        if becomes:
            raise becomes from error


@pytest.mark.parametrize("becomes", [None, ValueError("a damaged checkpoint")])
def test_no_except_of_the_start_swallows_a_signal(becomes):
    stopped = pytest.raises(InterruptedTraining, match="stopped by SIGINT")
    with stop_on_signals(announce=False) as stop, stopped, stop.nothing_to_save():
        _a_reader_of_damaged_files(becomes)


def test_other_processes_of_a_run_say_nothing(capfd):
    with stop_on_signals(announce=False) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop
    assert capfd.readouterr().err == ""


def test_under_nohup_a_hangup_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.slow
def test_a_signal_saves_and_the_run_continues(tiny_config, tmp_path, program):
    work_dir = tmp_path / "run"
    start = ("train", tiny_config, "--work-dir", work_dir, "--set", "data.workers_per_gpu=1")
    long = ("--set", "runner.max_iters=100000", "--set", "evaluation.interval=100000")
    metrics = work_dir / "metrics.csv"
    process = engine(*start, *long)
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, process)
    process.send_signal(signal.SIGUSR1)
    output = process.communicate(timeout=PATIENCE_S)[0]

    assert process.returncode == 5, output
    assert "stopped by SIGUSR1" in output
    assert "saving a checkpoint after this iteration" in output
    status = json.loads((work_dir / "status.json").read_text())
    last = status["step"]
    assert (status["state"], status["last_checkpoint"]) == ("interrupted", f"iter_{last}.pth")

    code, output = program(*start, "--set", f"runner.max_iters={last + 2}", "--resume")
    assert code == 0, output
    steps = [int(line.split(",")[0]) for line in metrics.read_text().splitlines()[1:] if ",train," in line]
    assert steps == list(range(1, last + 3))


@pytest.mark.slow
def test_a_signal_during_evaluation_is_heard(tiny_config, tmp_path):
    work_dir = tmp_path / "run"
    status = work_dir / "status.json"
    process = engine(
        *("train", tiny_config, "--work-dir", work_dir, "--set", "runner.max_iters=100000"),
        *("--set", "evaluation.interval=1", "--set", "evaluation.samples_per_gpu=1"),
    )
    wait_until(lambda: status.exists() and json.loads(status.read_text())["state"] == "evaluating", process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=PATIENCE_S)[0]

    assert process.returncode == 5, output
    assert json.loads(status.read_text())["state"] == "interrupted"
    assert (work_dir / "latest.pth").exists()
