"""A step that trains shows what became of its run, whoever went on with it."""

import json
import time
from dataclasses import asdict, replace

import pytest

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.run_of_step import why_its_run_failed
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runs.failed_start import write_failed_start
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, write_launch
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus

ENDED = replace(identify(), start=1.0)
STEP = (
    '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun_dir = "runs/a"\nrun = "exit 5"\nresume = "true"\n'
    'checks = [{ type = "path_exists", path = "runs/a/best_mIoU.pth" }]\n'
)


@pytest.fixture
def trained(with_steps):
    """An interrupted step, and the run that somebody started after it."""
    roots = with_steps(STEP)
    folder = RunFolder(roots.workspace / "runs/a")
    folder.path.mkdir(parents=True)
    now = time.time()
    interrupted = StepRecord(
        StepState.FAILED, started=now - 90, finished=now - 60, seconds=30, interrupted=True
    )
    StateStore(roots).change("9.1", lambda _: interrupted)

    def trained(state, *, started=now - 30, process=ENDED, **status):
        times = {"started": started, "ended": None if process.alive else now}
        write_launch(
            folder, Launch("1", ("t",), "/", {}, "console.log", supervisor=ENDED, process=process, **times)
        )
        said = RunStatus(state, 9, 9, now, process=process, launch="1", **status)
        folder.status.write_text(json.dumps(asdict(said)))
        return view_runbook(load_runbook(roots), StateStore(roots).read(), roots)["9.1"]

    trained.folder, trained.roots = folder, roots
    return trained


def test_a_run_that_finished_elsewhere_passes_by_its_files(trained):
    one = trained(RunState.FINISHED)
    assert (one.state, one.record.interrupted) == (StepState.FAILED, False)
    assert "the run has finished, but" in one.record.reason.en
    trained.folder.best.touch()
    one = trained(RunState.FINISHED)
    assert (one.state, one.record.exit_code) == (StepState.PASSED, 0)
    assert one.record.seconds == pytest.approx(60), "of both starts"


def test_a_run_that_goes_on_or_was_stopped_again_is_not_failed(trained):
    assert trained(RunState.TRAINING, process=identify()).record.interrupted
    assert trained(RunState.INTERRUPTED).record.interrupted


def test_a_run_that_failed_since_says_why(trained):
    record = trained(RunState.DIVERGED, message="Lwce is NaN").record
    assert (record.interrupted, record.reason.en) == (False, "Lwce is NaN")


@pytest.mark.parametrize(("state", "shown"), [("training", StepState.FAILED), ("finished", StepState.PASSED)])
def test_a_run_that_was_resumed_before_the_end_was_written_down_counts_too(trained, state, shown):
    trained.folder.best.touch()
    process = identify() if state == "training" else ENDED
    one = trained(RunState(state), started=time.time() - 61, process=process)
    assert one.state is shown
    assert "resumed outside the runbook" in one.record.reason.en


def test_what_the_step_saw_itself_stays(trained):
    trained.folder.best.touch()
    one = trained(RunState.FINISHED, started=time.time() - 900)  # before the step
    assert (one.state, one.record.interrupted) == (StepState.FAILED, True)


def test_the_reason_of_a_failed_step_is_that_of_its_run(trained):
    one = trained(RunState.FAILED, message="no room left on /data")
    begun = StepRecord(StepState.RUNNING, started=time.time() - 40)
    assert why_its_run_failed(one.step, begun, trained.roots).en == "no room left on /data"
    later = replace(begun, started=time.time())
    assert why_its_run_failed(one.step, later, trained.roots) is None


def test_a_start_that_failed_before_training_says_why_on_its_step(trained):
    one = trained(RunState.FINISHED, started=time.time() - 900)
    begun = StepRecord(StepState.RUNNING, started=time.time() - 40)
    write_failed_start(trained.folder, "there is no file weights/swin_tiny.pth", 1, "train.log")
    assert why_its_run_failed(one.step, begun, trained.roots).en == "there is no file weights/swin_tiny.pth"
    later = replace(begun, started=time.time() + 1)
    assert why_its_run_failed(one.step, later, trained.roots) is None
