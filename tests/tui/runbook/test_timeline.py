import time
from dataclasses import replace

import pytest
from rich.cells import cell_len

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.timeline import timeline
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.process import identify
from diffbev_tui.i18n import set_language
from diffbev_tui.runbook.timeline import timeline_line
from tests.tui.monitor.run_files import write_run

NOW = time.mktime((2026, 3, 6, 12, 0, 0, 0, 0, -1))


@pytest.fixture(autouse=True)
def _english():
    set_language("en")
    yield
    set_language("en")


@pytest.fixture
def running(trial):
    """Training of DiffBEV at half way, after 0 to 3."""
    run = write_run(trial.workspace / "runs/diffbev_default", step=100_000, max_iters=200_000)
    report = replace(inspect_run(run.path), eta_s=26.5 * 3600, age_s=0.0)
    passed = StepRecord(StepState.PASSED, started=1.0, finished=2.0, seconds=100.0)
    names = [step.id for step in load_runbook(trial).steps if step.id[0] in "01239"] + ["4.0"]
    records = dict.fromkeys(names, passed) | {"4.2": StepRecord(StepState.RUNNING, process=identify())}
    view = view_runbook(load_runbook(trial), {}, trial)
    steps = tuple(replace(one, record=records.get(one.step.id, one.record)) for one in view.steps)
    view = replace(view, steps=steps)
    return lambda **changes: timeline(view, trial, [replace(report, **changes)], {}, NOW)


def _text(times, width):
    return "".join(text for text, _ in timeline_line(times, width, NOW))


def test_the_line_says_what_the_width_has_room_for(running):
    times = running()
    wide, short = _text(times, 200), _text(times, 60)
    assert "✓ 3 passed 8 min 20 s │" in _text(times, 240)
    assert "✓ 3 8 min 20 s │ ● 4 running 50.0% ▰▰▰▰▰▱▱▱▱▱ 1 d 2 h left │ ○ 5 < 4 min │" in wide
    assert wide.endswith("  all done by Sat 14:44")
    assert "✓ 0–3 " in _text(times, 110)
    assert short.startswith(" ● 4 50.0% ▰▰▱▱▱")
    assert short.endswith("all done by Sat 14:44")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_line_stays_inside_every_width(running, language):
    set_language(language)
    for times in (running(), running(stalled=True, eta_s=None)):
        for width in range(10, 220):
            assert cell_len(_text(times, width)) < width


def test_a_stall_has_no_end_and_says_so(running):
    text = _text(running(stalled=True, eta_s=None), 200)
    assert "! 4 stalled 50.0%" in text
    assert "all done" not in text
