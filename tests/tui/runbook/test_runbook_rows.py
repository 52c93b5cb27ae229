import time
from dataclasses import replace

import pytest
from rich.cells import cell_len

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.runner import Reporter, Selection, run_steps
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook
from diffbev_tui.i18n import set_language
from diffbev_tui.lines import ago, cut, fit, width_of, wrap
from diffbev_tui.runbook.details import Known, lay_out_blocks, problem_blocks, step_blocks
from diffbev_tui.runbook.next_step import next_line
from diffbev_tui.runbook.rows import lay_out, phase_rows, problem_line, step_line
from diffbev_tui.runbook.state import look_for_problems
from diffbev_tui.snapshot import Snapshot


@pytest.fixture(autouse=True)
def _english():
    set_language("en")
    yield
    set_language("en")


def _snapshot(roots):
    runbook = load_runbook(roots)
    return Snapshot(time.time(), roots, runbook, view_runbook(runbook, StateStore(roots).read(), roots))


def _run(roots, *steps):
    run_steps(load_runbook(roots), roots, Selection(steps=steps), Reporter())


def _text(lines):
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 77, 100, 160])
def test_rows_fill_their_width_exactly(trial, language, width):
    _run(trial, "9.1", "9.3")
    set_language(language)
    shot = _snapshot(trial)
    lines = [step_line(one, shot, starting=False, stopping=False) for one in shot.view.steps]
    problems = look_for_problems(shot.view, trial).all
    found = {finding.id: finding for finding in problems}
    lines += [problem_line(problem, found.get(problem.id), trial) for problem in shot.runbook.problems]
    for row in lay_out(lines, width):
        assert width_of(row.line) == width, row
    for row in phase_rows(shot.view, problems, None, 36):
        assert width_of(row.line) == 36


def test_on_a_narrow_screen_parts_give_way_and_no_word_is_cut(trial):
    _run(trial, "9.1")
    shot = _snapshot(trial)
    lines = [step_line(shot.view["9.1"], shot, starting=False, stopping=False)]
    lines[0] = replace(lines[0], title="A title of more than thirty characters", age="yesterday 21:04")
    assert "yesterday 21:04" in _text([lay_out(lines, 80)[0].line])
    narrow = _text([lay_out(lines, 50)[0].line])
    assert narrow.rstrip().endswith(lines[0].took)
    line = _text([next_line(shot, width=30)])
    assert line == " Next: run 0.1 Go to the proj…"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 77, 120])
def test_details_of_every_step_and_problem_stay_inside_their_width(trial, language, width):
    set_language(language)
    shot = _snapshot(trial)
    for one in shot.view.steps:
        for line in lay_out_blocks(step_blocks(one, shot, Known(), stopping=False), width, 10):
            assert width_of(line) <= width
    for problem in shot.runbook.problems:
        for line in lay_out_blocks(problem_blocks(problem, None, trial), width, 10):
            assert width_of(line) <= width


def test_details_hold_the_exact_command_and_the_criteria_in_words(trial):
    shot = _snapshot(trial)
    text = _text(lay_out_blocks(step_blocks(shot.view["1.1"], shot, Known(), stopping=False), 200, 50))
    assert f"$ ls -ld {trial.nuscenes_root}" in text
    assert f"folder {trial.nuscenes_root} exists" in text


def test_details_of_a_failure_name_the_reason_the_problem_and_its_remedies(trial):
    _run(trial, "9.3")
    shot = _snapshot(trial)
    one = shot.view["9.3"]
    findings = look_for_problems(shot.view, trial).by_step["9.3"]
    text = _text(lay_out_blocks(step_blocks(one, shot, Known(findings=findings), stopping=False), 120, 50))
    assert "exit code 3" in text
    assert "! CUDA out of memory during training" in text
    assert "--set data.samples_per_gpu=2" in text


def test_the_tail_of_the_output_takes_the_room_that_is_left(trial):
    _run(trial, "9.3")
    shot = _snapshot(trial)
    known = Known(output=tuple(f"line {number}" for number in range(100)))
    blocks = step_blocks(shot.view["9.3"], shot, known, stopping=False)
    text = _text(lay_out_blocks(blocks, 100, 60))
    assert len(text.splitlines()) == 60
    assert "line 99" in text
    assert "output" in text


def test_the_first_line_says_what_to_do(trial):
    assert "run 0.1 Go to the project directory" in _text([next_line(_snapshot(trial))])
    _run(trial, "0.1", "0.2", "0.3", "1.1", "1.2")
    line = _text([next_line(_snapshot(trial))])
    assert "fix 1.2 Check the image and label directories: not met" in line
    assert "o:" in line


def test_text_is_cut_and_wrapped_by_cells():
    assert fit("数据路径", 6) == "数据… "
    assert cell_len(cut("数据路径与目录", 7)) <= 7
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("$ python train.py --resume latest", 18) == [
        "$ python train.py",
        "    --resume",
        "    latest",
    ]
    assert all(cell_len(row) <= 9 for row in wrap("检查数据目录是否存在，然后继续", 9))
    assert "".join(wrap("x" * 50, 20)) == "x" * 50
    assert wrap("$ ls /data/disk/runs/baseline", 18) == ["$ ls", "    /data/disk/", "    runs/baseline"]
    assert wrap("3.2  Run the training", 16) == ["3.2  Run the", "     training"]


def test_age_is_said_as_people_do():
    now = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
    assert ago(now - 5, now) == "just now"
    assert ago(now - 125, now) == "2 min ago"
    assert ago(now - 4 * 3600, now) == "today 08:00"
    assert ago(now - 15 * 3600, now) == "yesterday 21:00"
    assert ago(now - 48 * 3600, now) == "2026-03-02 12:00"
