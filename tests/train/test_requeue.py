"""Under SLURM a run goes back into the queue when its time limit is announced."""

import os
import signal
from pathlib import Path

import pytest

from diffbev_engine.core.errors import ExitCode, InterruptedTraining, UsageError
from diffbev_engine.train.requeue import put_back, requeue, require_slurm
from diffbev_engine.train.signals import StopRequest
from tests.processes import PATIENCE_S, engine, wait_until


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A program of that name which writes down how it was called; ``code`` sets how it ends."""

    def install(code=0, says=""):
        program = tmp_path / "scontrol"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "{says}" >&2\nexit {code}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "calls"

    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    return install


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_an_announced_limit_puts_the_job_back(scontrol, name):
    calls = scontrol()
    assert requeue(name) == "job 4711 is back in the queue and resumes by itself"
    assert calls.read_text() == "requeue 4711\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", None])
def test_a_job_that_was_cancelled_stays_cancelled(scontrol, name):
    calls = scontrol()
    assert "not put back" in requeue(name)
    assert not calls.exists()


def test_a_refusal_is_told_with_what_to_do(scontrol, monkeypatch, tmp_path):
    scontrol(code=1, says="Requeue disabled")
    assert "Requeue disabled. Submit it again" in requeue("SIGUSR1")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "scontrol" in requeue("SIGUSR1")


def test_elsewhere_it_is_refused(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UsageError, match="use --resume"):
        require_slurm()


def _heeds(pid, number):
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught & 1 << (number - 1))


def test_a_job_whose_end_is_announced_while_it_starts_goes_back_too(scontrol, tmp_path):
    calls, work_dir = scontrol(), tmp_path / "run"
    training = engine("train", "baseline/lss_swin_demo", "--work-dir", work_dir, "--requeue")
    wait_until(lambda: _heeds(training.pid, signal.SIGUSR1), training)
    training.send_signal(signal.SIGUSR1)
    said, _ = training.communicate(timeout=PATIENCE_S)
    assert training.returncode == ExitCode.INTERRUPTED, said
    assert "before training began" in said
    assert "job 4711 is back in the queue" in said
    assert calls.read_text() == "requeue 4711\n"
    assert not work_dir.exists()


def test_a_job_that_never_gets_to_train_is_not_put_back_for_ever(scontrol, monkeypatch):
    calls, stop = scontrol(), StopRequest(announce=False)
    stop.signal_name = "SIGUSR1"
    monkeypatch.setenv("SLURM_JOB_START_TIME", "1000")
    for ends, trained, back in (("1180", False, False), ("1180", True, True), ("1181", False, True)):
        monkeypatch.setenv("SLURM_JOB_END_TIME", ends)
        calls.unlink(missing_ok=True)
        told = str(put_back(InterruptedTraining("stopped."), stop, trained=trained))
        assert calls.exists() == back
        assert ("leaves no time to train" in told) == (not back)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1180")
    assert "SIGTERM is no announcement" in requeue("SIGTERM", trained=False)
