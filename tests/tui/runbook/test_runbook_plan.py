import pytest

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.runner import Reporter, Selection, run_steps, skip_step
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runs.process import identify
from diffbev_tui.i18n import set_language
from diffbev_tui.runbook.plan import plan_failed, plan_phase, plan_step


@pytest.fixture(autouse=True)
def _english():
    set_language("en")


def _run(roots, *steps):
    return run_steps(load_runbook(roots), roots, Selection(steps=steps), Reporter())


def test_a_step_that_only_looks_is_run_without_a_question(trial, look):
    plan = plan_step(look(), "9.3", trial, ())
    assert plan.consequence == ""
    assert plan.ways[0].arguments == ("--step", "9.3")


def test_what_is_there_already_is_not_written_again_without_a_question(trial, look):
    (trial.workspace / "made.txt").touch()
    plan = plan_step(look(), "9.1", trial, ())
    assert "made.txt" in plan.consequence
    assert [way.name for way in plan.ways] == ["run", "adopt"]
    assert plan.ways[1].arguments == ("--step", "9.1", "--adopt")


def test_steps_that_must_come_first_are_offered_too(trial, look):
    plan = plan_step(look(), "9.2", trial, ())
    assert plan.ways[0].arguments == ("--step", "9.1", "--step", "9.2")
    assert "depends on 9.1" in plan.consequence


def test_a_training_that_was_cut_short_goes_on_or_starts_over(trial, look):
    plan = plan_step(look(), "9.4", trial, ())
    assert "starts training in runs/toy" in plan.consequence
    _run(trial, "9.4")
    plan = plan_step(look(), "9.4", trial, ())
    assert [way.name for way in plan.ways] == ["resume", "over"]
    assert plan.ways[1].arguments == ("--step", "9.4", "--again")
    assert "resumes from runs/toy/latest.pth" in plan.consequence
    _run(trial, "9.4")
    plan = plan_step(look(), "9.4", trial, ())
    assert "moves to runs/toy/previous_" in plan.consequence


def test_a_step_that_runs_elsewhere_is_refused_with_its_owner(trial, look):
    me = identify()
    StateStore(trial).change("9.1", lambda _: StepRecord(StepState.RUNNING, runner=me))
    assert f"process {me.pid}" in plan_step(look(), "9.1", trial, ()).refusal
    assert "which is running" in plan_step(look(), "9.2", trial, ()).refusal
    assert plan_phase(look(), load_runbook(trial).phase("9"), trial, ()).refusal


def test_the_rest_of_a_phase_leaves_out_what_is_done(trial, look):
    _run(trial, "9.1")
    skip_step(load_runbook(trial), trial, "9.3", "not here")
    plan = plan_phase(look(), load_runbook(trial).phase("9"), trial, ())
    assert plan.ways[0].arguments == ("--phase", "9")
    assert plan.ways[0].steps == ("9.2", "9.4")
    assert "9.2 may take a long time" in plan.consequence


def test_only_what_failed_or_is_stale_is_run_again(trial, look):
    assert plan_failed(look(), trial, ()).refusal
    _run(trial, "9.1", "9.3")
    (trial.workspace / "made.txt").unlink()
    plan = plan_failed(look(), trial, ())
    assert plan.ways[0].steps == ("9.1", "9.3")
