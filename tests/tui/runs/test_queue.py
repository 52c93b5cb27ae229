"""A run that waits in SLURM's queue says so, with its job."""

import os
import time

import pytest

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.slurm import SlurmJob, write_job
from diffbev_engine.runs.status import RunState, StatusWriter
from diffbev_tui.i18n import set_language
from diffbev_tui.run_reports import RunReports
from diffbev_tui.runs.text import _facts


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A stand-in for the scheduler's program, whose answers a test can change."""
    answer = tmp_path / "bin" / "answer"
    answer.parent.mkdir()
    program = answer.with_name("squeue")
    program.write_text(f"#!/bin/sh\ncat {answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{answer.parent}{os.pathsep}{os.environ['PATH']}")
    return answer


def test_a_run_that_was_put_back_into_the_queue_says_what_the_scheduler_says(tmp_path, squeue):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    status = StatusWriter(folder.status, 100, interval_s=0)
    status.update(state=RunState.INTERRUPTED, step=20, message="stopped by SIGUSR1")
    write_job(folder, SlurmJob("12_1"))
    squeue.write_text("11|RUNNING|None\n12_1|PENDING|BeginTime\n")
    reports = RunReports()
    (run,) = reports.look([folder.path])
    set_language("zh")
    try:
        assert "SLURM 作业 12_1：排队中（BeginTime）" in _facts(run, time.time())
    finally:
        set_language("en")
    assert "SLURM job 12_1: pending (BeginTime)" in _facts(run, time.time())
    reports._jobs_due = 0
    squeue.write_text("")
    (run,) = reports.look([folder.path])
    assert "SLURM job 12_1" in _facts(run, time.time())
