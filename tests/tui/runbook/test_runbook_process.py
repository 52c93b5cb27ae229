import os
import signal
import subprocess
import sys

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_tui.runbook.process import asked_to_stop, start_steps, stop_step, tail_lines
from tests.processes import wait_until

STARTER = """
import sys
from pathlib import Path
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_tui.runbook.process import start_steps
started = start_steps(find_roots(Path(sys.argv[1])), ["--step", "9.1", "--step", "9.2"], ["9.1", "9.2"])
print(started.process.pid, flush=True)
sys.stdin.read()
"""


def _record(roots, step):
    return StateStore(roots).read().get(step, StepRecord())


def test_a_step_runs_apart_and_leaves_its_record(trial):
    started = start_steps(trial, ["--step", "9.1"], ["9.1"])
    assert os.getsid(started.process.pid) == started.process.pid
    wait_until(lambda: started.exit_code is not None)
    assert started.exit_code == 0
    assert _record(trial, "9.1").state is StepState.PASSED
    assert started.log.is_relative_to(trial.workspace / ".diffbev/tui")
    assert "42 files" in started.log.read_text()


def test_a_refusal_is_the_last_words(trial):
    started = start_steps(trial, ["--step", "9.2"], ["9.2"])
    wait_until(lambda: started.exit_code is not None)
    assert "depends on 9.1" in started.last_words()


def test_killing_the_starter_leaves_the_step_running(trial):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(trial.workspace)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_until((trial.workspace / "began").exists)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.communicate()
    (trial.workspace / "go_on").touch()
    wait_until(lambda: _record(trial, "9.2").state is StepState.PASSED)


def test_stopping_is_gentle_first_and_kills_when_asked_again(trial):
    (trial.workspace / "stubborn").touch()
    started = start_steps(trial, ["--step", "9.1", "--step", "9.2"], ["9.1", "9.2"])
    wait_until((trial.workspace / "began").exists)
    record = _record(trial, "9.2")
    assert not asked_to_stop(trial, "9.2", record)
    stop_step(trial, "9.2", record, at_once=False)
    assert asked_to_stop(trial, "9.2", record)
    log = trial.workspace / record.log
    wait_until(lambda: "checkpoint saved" in tail_lines(log))
    assert started.exit_code is None
    stop_step(trial, "9.2", record, at_once=True)
    wait_until(lambda: started.exit_code is not None)
    ended = _record(trial, "9.2")
    assert (ended.state, ended.interrupted) == (StepState.FAILED, True)
    with pytest.raises(DiffBEVError, match="ended already"):
        stop_step(trial, "9.2", record, at_once=False)


def test_a_step_whose_runner_was_killed_can_still_be_stopped(trial):
    started = start_steps(trial, ["--step", "9.1", "--step", "9.2"], ["9.1", "9.2"])
    wait_until((trial.workspace / "began").exists)
    started.process.kill()
    started.process.wait()
    record = _record(trial, "9.2")
    assert record.state is StepState.RUNNING
    stop_step(trial, "9.2", record, at_once=False)
    wait_until((trial.workspace / (record.log + ".exit")).exists)
    assert "checkpoint saved" in (trial.workspace / record.log).read_text()


def test_the_tail_of_a_log_looks_as_on_a_terminal(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"\x1b[31mred\x1b[0m\n10%\r50%\r100%\r\nbell\x07\tend\npartial")
    assert tail_lines(log) == ("red", "100%", "bell    end", "partial")
    assert tail_lines(tmp_path / "none.log") == ()
    log.write_text("x" * 200_000 + "\nlast\n")
    assert tail_lines(log)[-1] == "last"
    assert max(map(len, tail_lines(log))) <= 500
