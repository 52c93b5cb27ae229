import json
import time
from dataclasses import replace

import pytest

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.prediction import predicted_seconds
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.timeline import TimeLeft, timeline
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState
from diffbev_engine.workspace.init import init_workspace
from tests.tui.monitor.run_files import write_run

NOW = time.time()


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "nuScenes").mkdir()
    init_workspace(tmp_path / "DiffBEV", tmp_path / "nuScenes", demo=True)
    return find_roots(tmp_path / "DiffBEV")


def _passed(seconds):
    return StepRecord(StepState.PASSED, started=NOW - 9000, finished=NOW - 9000 + seconds, seconds=seconds)


def _times(roots, records, *runs):
    view = view_runbook(load_runbook(roots), {}, roots)
    steps = (replace(one, record=records.get(one.step.id, one.record)) for one in view.steps)
    view = replace(view, steps=tuple(steps))
    reports = [inspect_run(run.path) for run in runs]
    return timeline(view, roots, reports, predicted_seconds(view, roots, reports), NOW), view


def _smoke(roots):
    """A finished smoke run at 10 it/s."""
    run = write_run(roots.workspace / "runs/baseline_smoke", step=300, max_iters=300, state=RunState.FINISHED)
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps(status | {"it_per_s": 10.0}))
    return run


def _phase(times, name):
    return next(one for one in times.phases if one.phase.id == name)


def test_trainings_are_predicted_from_the_measured_speed_and_the_rest_is_not_guessed(roots):
    times, _ = _times(roots, {"2.4": _passed(40.0)}, _smoke(roots))
    assert _phase(times, "2").took_s == 40.0
    assert _phase(times, "3").left == TimeLeft(6.0, short=4), "60 iterations"
    assert _phase(times, "4").left == TimeLeft(6.0, short=5, unknown=True), "nothing is known of 4.0"
    assert times.left.unknown
    assert times.ends is None
    nothing, _ = _times(roots, {})
    assert _phase(nothing, "3").left.words("en") == "–", "no speed was measured"
    assert nothing.left.words("en") == "–"


def test_a_training_in_progress_gives_the_end_unless_it_stalls(roots):
    run = write_run(roots.workspace / "runs/diffbev_default", step=100, max_iters=300)
    running = StepRecord(StepState.RUNNING, started=NOW - 60, process=identify())
    long = {name: _passed(100.0) for name in ("2.4", "3.2", "4.0")}
    times, view = _times(roots, {**long, "4.2": running}, run)
    four = _phase(times, "4")
    assert (four.state, four.share, four.took_s) == (StepState.RUNNING, 100 / 300, 100.0)
    assert four.left.known_s == pytest.approx(200 / 7.6)
    assert times.ends == pytest.approx(NOW + 200 / 7.6 + 60 * times.left.short, abs=30), "at the latest"
    stalled = replace(inspect_run(run.path), stalled=True, eta_s=None)
    for now in (NOW, NOW + 600):
        frozen = timeline(view, roots, [stalled], {}, now)
        assert frozen.ends is None
        assert frozen.left.unknown
        assert _phase(frozen, "4").stalled
        assert [frozen.left_words(language) for language in ("zh", "en")] == ["", ""], "no sum of the rest"


def test_an_interrupted_training_is_predicted_from_its_checkpoint(roots):
    run = write_run(roots.workspace / "runs/baseline", step=4000, max_iters=8000, state=RunState.INTERRUPTED)
    run.checkpoint(4000).rename(run.checkpoint(20))
    failed = replace(_passed(50.0), state=StepState.FAILED, interrupted=True, finished=NOW)
    times, _ = _times(roots, {"3.2": failed}, _smoke(roots), run)
    assert _phase(times, "3").left.known_s == pytest.approx(4.0), "40 of 60 at 10 it/s"
    assert times.took_s == 0.0, "a start that failed has not done anything"


def test_time_left_is_said_with_what_is_not_known():
    assert TimeLeft(5400.0, 3).words("en") == "1 h 30 min"
    assert TimeLeft(5400.0, 3).words_at_most("en") == "< 1 h 33 min"
    assert TimeLeft(5400.0, unknown=True).words("en") == "at least 1 h 30 min"
    assert TimeLeft(5400.0, unknown=True).words("zh") == "至少 1 小时 30 分"
    assert TimeLeft(short=4).words("zh") == "< 4 分钟"
    assert TimeLeft(unknown=True, short=4).words("en") == "–"
