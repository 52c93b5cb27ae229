import json
import sys

import pytest
from textual.widgets import Static

from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_tui.classes import diagnose_start
from diffbev_tui.classes.state import class_table, evaluations
from diffbev_tui.widgets.choose_one import ChooseOne
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, until
from tests.tui.classes.class_files import write_diagnosis, write_evaluated_run, write_sample
from tests.tui.monitor.run_files import write_run


def _text(app, name):
    return str(app.query_one(f"#classes-{name}", Static).content)


async def _open(app, pilot):
    await pilot.press("5")
    await until(pilot, lambda: app.query("#classes-head") and "@" in _text(app, "head"))


def test_the_newest_evaluation_with_its_changes(workspace):
    run = write_evaluated_run(workspace, "b", [(100, 0.1), (200, 0.25)])
    other = write_evaluated_run(workspace, "a", [(200, 0.2)])
    table = class_table(run, other)
    assert not isinstance(table, str)
    assert (table.step, table.before, table.against_step, table.best) == (200, 100, 200, (200, 0.25))
    by_name = {one.name: one for one in table.classes}
    assert by_name["drivable_area"].change == pytest.approx(0.15)
    assert by_name["drivable_area"].against == pytest.approx(0.05)
    assert by_name["construction_vehicle"].iou is None
    assert by_name["car"].trend == (0.05, 0.125)


def test_evaluations_are_those_of_the_engine(workspace):
    run = write_evaluated_run(workspace, "b", [(100, 0.1), (200, 0.25)])
    with (run / "metrics.csv").open("a") as file:
        file.write("300,eval,val,,half a li")
    assert evaluations(run / "metrics.csv") == (read_metrics(run).evaluations(), None)


def test_a_run_without_metrics_says_so(workspace):
    assert "no run directory" in str(class_table(workspace / "runs" / "none"))


async def test_the_table_sorts_compares_and_marks_absent_classes(workspace):
    write_evaluated_run(workspace, "baseline", [(100, 0.1), (200, 0.2)])
    write_evaluated_run(workspace, "diffbev_default", [(100, 0.1), (200, 0.25)])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        assert "no ground truth" in _text(app, "rows")
        assert "vs " in _text(app, "head")  # the other run is of the same length
        await pilot.press("w")
        await until(
            pilot, lambda: _text(app, "rows").index("car ") < _text(app, "rows").index("drivable_area")
        )
        await pilot.press("c")
        await until(pilot, lambda: "vs " not in _text(app, "head"))
        name = _text(app, "head").split()[0]
        await pilot.press("o")
        await until(pilot, lambda: _text(app, "head").split()[0] not in (name, ""))


async def test_a_smoke_test_is_not_compared_unless_asked_for(workspace):
    write_run(workspace / "runs" / "long", step=4_000, max_iters=4_000)
    write_evaluated_run(workspace, "smoke", [(200, 0.2)])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        assert _text(app, "head").startswith("long @ 4,000")
        assert "vs" not in _text(app, "head")
        await pilot.press("c")
        await until(pilot, lambda: "vs smoke" in _text(app, "head"))


@pytest.mark.parametrize(("lang", "words"), [
    ("en", ("! never predicted", "rare: 214 cells", "collapse", "covers 97 %", "→ Check the loss weights")),
    ("zh", ("! 从未被预测", "稀有：214 个单元", "预测塌缩", "占 97 %", "→ 检查 loss 权重")),
])  # fmt: skip
async def test_shares_marks_and_the_verdict_with_its_next_action(lang, words, workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    write_diagnosis(workspace / "runs" / "diagnose", run / "best_mIoU.pth", iteration=200)
    async with run_app(workspace, size=(140, 44), lang=lang) as (app, pilot):
        await _open(app, pilot)
        rows, verdict = _text(app, "rows"), _text(app, "verdict")
        for text in words[:2]:
            assert text in rows
        for text in words[2:]:
            assert text in verdict
        assert "b/best_mIoU.pth @ 200" in verdict
        assert "0.010 / 20.0" in next(row for row in rows.splitlines() if "bicycle" in row)
        assert "~" not in verdict  # it is of what the table shows


async def test_a_verdict_of_another_run_or_step_says_so(workspace):
    baseline = write_evaluated_run(workspace, "baseline", [(200, 0.2)])
    write_evaluated_run(workspace, "z", [(100, 0.1), (200, 0.3)])
    write_diagnosis(workspace / "runs" / "diagnose", baseline / "best_mIoU.pth", iteration=100)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        if _text(app, "head").startswith("baseline"):
            await pilot.press("o")
        await until(pilot, lambda: _text(app, "head").startswith("z @"))
        assert "! diagnosis and shares are from another run, baseline. Press D to diagnose z" in _text(
            app, "verdict"
        )
        await pilot.press("o")
        await until(pilot, lambda: _text(app, "head").startswith("baseline"))
        assert "~ diagnosis and shares: iteration 100" in _text(app, "verdict")


async def test_samples_are_shown_worst_first_each_part_under_its_words(workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    for name, miou in (("0000", 0.3), ("0001", 0.1)):
        write_sample(workspace / f"runs/vis_comparison/vis/sample_{name}.png", run / "best_mIoU.pth", miou)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await until(pilot, lambda: len(app.query(".picture")) == 3)
        assert "sample 1/2" in _text(app, "sample")
        assert "sample_0001.png" in _text(app, "sample")
        captions = [str(one.content) for one in app.query("SampleView .caption").results(Static)]
        assert captions == ["camera", "ground truth", "DiffBEV @ 200\nmIoU 10.0 over 5 classes"]
        for part, colour in zip(app.query(".picture"), ("red", "green", "blue"), strict=True):
            strip = part.render_line(part.size.height // 2)
            names = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}
            middle = list(strip)[len(list(strip)) // 2]
            assert middle.style.color.triplet == names[colour]
        await pilot.press("right")
        await until(pilot, lambda: "sample 2/2" in _text(app, "sample"))
        await until(pilot, lambda: "mIoU 30.0" in str(app.query(".caption").last(Static).content))
        await pilot.press("right")
        await until(pilot, lambda: "sample 1/2" in _text(app, "sample"))


async def test_on_a_small_terminal_v_shows_the_pictures_alone(workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    path = write_sample(workspace / "runs/vis/sample_0000.png", run / "best_mIoU.pth", 0.3)
    async with run_app(workspace, size=(80, 24)) as (app, pilot):
        await _open(app, pilot)
        assert not app.query_one("#classes-pictures").display
        assert app.query_one("#classes-rows").region.height == 15
        await pilot.press("v")
        await until(pilot, lambda: app.query(".picture"))
        await until(pilot, lambda: all(one.region.height > 5 for one in app.query(".picture")))
        assert app.pane.copy_text() == str(path)
        assert all(one.region.right <= 80 and one.region.bottom <= 23 for one in app.query(".picture"))
        await pilot.press("v")
        await until(pilot, lambda: app.query_one("#classes-table").display)
        assert "drivable_area" in app.pane.copy_text()


async def test_a_picture_that_is_cut_short_says_so(workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    path = write_sample(workspace / "runs/vis/sample_0000.png", run / "best_mIoU.pth", 0.3)
    path.write_bytes(path.read_bytes()[:-60])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        shown = lambda: [str(one.content) for one in app.query("SampleView Static").results(Static)]  # noqa: E731
        await until(pilot, lambda: any("cannot show this image" in text for text in shown()))
        assert "sample 1/1" in _text(app, "sample")


@pytest.mark.parametrize(("lang", "words"), [("en", "No runs yet."), ("zh", "暂无实验。")])
async def test_without_a_run_it_says_what_will_appear(lang, words, workspace):
    async with run_app(workspace, lang=lang) as (app, pilot):
        await pilot.press("5")
        await until(pilot, lambda: app.query("#classes-head") and words in _text(app, "head"))
        await pilot.press("D", "v", "right", "w", "c", "o", "y")
        await pilot.pause()
        assert app.is_running
        assert len(app.screen_stack) == 1


async def test_what_a_diagnosis_advises_can_be_run_by_name_only(workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    write_diagnosis(run / "diagnose", run / "best_mIoU.pth", iteration=200)
    summary = run / "diagnose" / "summary.json"
    advice = "Run `diffbev-engine prepare --nuscenes-root /somewhere/else` again"
    told = json.loads(summary.read_text())
    told["findings"][0]["action"] = {"zh": advice, "en": advice}
    summary.write_text(json.dumps(told))
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await until(pilot, lambda: advice in _text(app, "verdict"))
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ChooseOne))
        [first, last] = [words for _, words in app.screen._options]
        assert f"$ diffbev-engine prepare --nuscenes-root {app.roots.nuscenes_root} " in first
        assert last == f"copy: {advice}"


async def test_without_pictures_and_diagnosis_it_says_how_to_get_them(workspace):
    write_evaluated_run(workspace, "b", [(200, 0.25)])
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        assert "Runbook phase 6 (`visualize`)" in _text(app, "sample")
        assert "Press D to diagnose the best checkpoint" in _text(app, "verdict")


async def test_diagnose_is_started_after_a_question_and_says_why_it_failed(workspace):
    run = write_evaluated_run(workspace, "b", [(200, 0.25)], config="configs/missing.py")
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("D")
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        assert app.pane._work.run is None
        await pilot.press("D")
        await pilot.pause()
        assert "best_mIoU.pth" in str(app.screen.query_one("#dialog-question", Static).content)
        await pilot.press("y")
        failed = lambda: [one.message for one in app._notifications if one.severity == "error"]  # noqa: E731
        await until(pilot, failed)
        assert "configs/missing.py" in failed()[0]
        assert app.pane._work.run is None
    assert not (run / "diagnose").exists()
    assert (workspace / ".diffbev/logs/diagnose_b.log").exists()


SLOW_DIAGNOSIS = """
import sys, time
from pathlib import Path
print("labels: 20/50", flush=True)
while not Path(sys.argv[1]).exists():
    time.sleep(0.02)
"""


@pytest.fixture
def finish(workspace, tmp_path, monkeypatch):
    """Run b; the end of its diagnosis, which goes on until then."""
    run = write_evaluated_run(workspace, "b", [(200, 0.25)])
    command = [sys.executable, "-c", SLOW_DIAGNOSIS, str(tmp_path / "go")]
    monkeypatch.setattr(diagnose_start, "engine_command", lambda *_: command)

    def finish():
        write_diagnosis(run / "diagnose", run / "best_mIoU.pth", iteration=200)
        (tmp_path / "go").touch()

    return finish


async def _diagnose(app, pilot):
    await _open(app, pilot)
    await pilot.press("D")
    await pilot.pause()
    await pilot.press("y")
    await until(pilot, lambda: "● diagnosing b" in _text(app, "verdict"))
    await until(pilot, lambda: "labels: 20/50" in str(app.query_one("#commands", Static).content))


async def test_a_diagnosis_outlives_the_ui_and_the_next_one_says_how_it_ended(workspace, finish):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _diagnose(app, pilot)
        await until(pilot, lambda: "labels: 20/50" in _text(app, "verdict"))
        process = app.pane._work._process.process
    assert process.poll() is None
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _open(app, pilot)
        await until(pilot, lambda: "● diagnosing b" in _text(app, "verdict"))
        await pilot.press("D")
        await until(
            pilot, lambda: any("already being diagnosed" in one.message for one in app._notifications)
        )
        finish()
        process.wait(PATIENCE_S)
        said = "b: diagnosis finished: collapse"
        await until(pilot, lambda: any(one.message == said for one in app._notifications))
        await until(pilot, lambda: "diagnosing" not in _text(app, "verdict"))


async def test_the_end_of_a_diagnosis_is_said_on_any_screen(workspace, finish):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await _diagnose(app, pilot)
        await pilot.press("1")
        await pilot.pause()
        assert app.pane.id == "pane-runbook"
        finish()
        said = "b: diagnosis finished: collapse"
        await until(pilot, lambda: [one.message for one in app._notifications] == [said])


async def test_read_only_starts_no_diagnosis(workspace):
    write_evaluated_run(workspace, "b", [(200, 0.25)])
    async with run_app(workspace, size=(140, 44), read_only=True) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("D")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        assert any("Read-only" in one.message for one in app._notifications)
        assert "diffbev-engine diagnose" in _text(app, "verdict")
