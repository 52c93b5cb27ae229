import json
import time
from dataclasses import replace

import pytest
from rich.cells import cell_len
from textual.widgets import Input, OptionList, Static

from diffbev_engine.runs.actions import Stopped
from diffbev_engine.runs.alerts import Alert, AlertKind, append_alerts
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.status import RunState
from diffbev_tui.charts.panel import ChartPanel
from diffbev_tui.charts.view_window import Follow
from diffbev_tui.monitor.choose_runs import Pick
from diffbev_tui.monitor.pane import MonitorPane
from diffbev_tui.widgets import run_control as monitor_control
from diffbev_tui.widgets.alert_list import AlertList
from diffbev_tui.widgets.status_line import StatusLine
from tests.tui.app import run_app, shown, uneven_rows, until
from tests.tui.monitor.run_files import write_run


@pytest.fixture
def runs(workspace):
    """A finished baseline and a DiffBEV run that this process trains."""
    days_ago = time.time() - 2 * 86_400
    folder = workspace / "runs"
    baseline = write_run(
        folder / "baseline",
        step=8000,
        max_iters=8000,
        state=RunState.FINISHED,
        diffusion=False,
        started=days_ago,
    )
    return baseline, write_run(folder / "diffbev_default", step=4000, max_iters=8000, resumed=(2000,))


async def on_monitor(pilot, app) -> MonitorPane:
    await pilot.press("2")
    pane = app.pane
    assert isinstance(pane, MonitorPane)
    await until(pilot, lambda: answered(pane) and pane.result.span is not None)
    return pane


def answered(pane) -> bool:
    """Whether what is shown is what was asked for, at the sizes that the charts have."""
    if pane.result is None or pane.result.request is not pane.request or pane.worker.busy_s:
        return False
    sizes = dict(pane.request.charts)
    charts = [panel for panel in pane.query(ChartPanel) if panel.display and panel.column]
    return all(sizes.get(one.column) == (one.size.width, max(one.size.height - 1, 0)) for one in charts)


def words(pane, name) -> str:
    return str(pane.query_one(f"#monitor-{name}", Static).content)


def visible(pane) -> list[str]:
    return [panel.column for panel in pane.query(ChartPanel) if panel.display]


@pytest.mark.usefixtures("runs")
async def test_curves_and_the_run_are_shown(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: visible(pane) == ["Lwce", "mIoU", "loss", "Ldepth", "Ldiff", "lr"])
        assert "A baseline  B diffbev_default" in words(pane, "head").replace("   ", "  ")
        text = words(pane, "run")
        for part in ("4,000/8,000", "7.6 it/s", "30.4 img/s", "data wait 1.2%", "ETA", "iter_4000.pth"):
            assert part in text
        assert "no NaN" in text
        assert "resumed once @ 2,000" in text
        assert "iter 4000/8000" in words(pane, "log")
        await pilot.pause()
        assert "⠉" in shown(app) or "⢸" in shown(app)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("size", [(80, 24), (140, 44), (60, 15)])
@pytest.mark.usefixtures("runs")
async def test_every_row_fits_its_screen(workspace, size, lang):
    async with run_app(workspace, size=size, lang=lang) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await pilot.press("s", "x")
        await until(pilot, lambda: answered(pane))
        await pilot.pause()
        assert not uneven_rows(app)
        for panel in pane.query(ChartPanel):
            for row in panel.figure.rows:
                assert all(len(span.text) == cell_len(span.text) for span in row)


@pytest.mark.usefixtures("runs")
async def test_one_chart_a_page_on_a_narrow_screen(workspace):
    async with run_app(workspace, size=(80, 24)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: answered(pane))
        await until(pilot, lambda: visible(pane) == ["Lwce"])
        await pilot.press("n")
        await until(pilot, lambda: visible(pane) == ["mIoU"])
        await pilot.press("p", "p")
        await until(pilot, lambda: visible(pane) == ["gpu_mem_mb"])


@pytest.mark.usefixtures("runs")
async def test_keys_change_the_view(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        assert "smoothing 0.9 (auto)" in words(pane, "head"), "two noisy curves lie over each other"
        await pilot.press("s", "e")
        assert (pane.request.smoothing, pane.request.log_y) == (0, True)
        assert "raw  log scale" in words(pane, "head")
        await pilot.press("s")
        assert pane.request.smoothing == 0.6
        await pilot.press("plus")
        assert pane.request.window.follow is Follow.FROZEN
        left = pane.request.window.left
        await pilot.press("left")
        assert pane.request.window.left < left
        await pilot.press("0")
        assert pane.request.window.follow is Follow.ALL
        await pilot.press("t")
        assert "latest" in words(pane, "head")
        await until(pilot, lambda: answered(pane))
        await pilot.press("t", "t")
        assert " all " in words(pane, "head")


@pytest.mark.usefixtures("runs")
async def test_the_cursor_reads_the_runs_off(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await pilot.press("x")
        assert pane.request.cursor == 8000
        await until(pilot, lambda: answered(pane))
        loss = next(panel for panel in pane.query(ChartPanel) if panel.column == "loss")
        assert loss.title.plain.endswith("B –")  # it has not been there yet
        await pilot.press("left")
        assert 7800 < pane.request.cursor < 8000
        pane._show(replace(pane.options, cursor=3000.0))
        await until(pilot, lambda: answered(pane) and not loss.title.plain.endswith("–"))
        await pilot.press("x")
        assert pane.request.cursor is None


@pytest.mark.usefixtures("runs")
async def test_metrics_are_chosen_by_typing(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: answered(pane))
        await pilot.press("slash")
        assert isinstance(app.screen, Pick)
        await pilot.press(*"iou/car")
        assert app.screen.query_one(Input).value == "iou/car"
        assert app.screen.query_one(OptionList).option_count == 2  # car, carpark
        await pilot.press("down", "enter", "escape")
        await until(pilot, lambda: "IoU/car" in pane.pages.metrics)
        assert pane.pages.metrics[:3] == ("Lwce", "IoU/car", "mIoU"), "what was added is in view"


@pytest.mark.usefixtures("runs")
async def test_runs_are_chosen_and_keep_their_letters(workspace):
    write_run(workspace / "runs" / "smoke", step=300, max_iters=300, state=RunState.FINISHED, started=1e9)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        assert "smoke" not in words(pane, "head")  # too short to compare
        await pilot.press("o", *"baseline", "enter", "escape")
        await until(pilot, lambda: "baseline" not in words(pane, "head"))
        assert "C diffbev_default" in words(pane, "head")
        await pilot.press("o", *"smoke", "enter", "escape")
        await until(pilot, lambda: "A smoke" in words(pane, "head"))
        assert "C diffbev_default" in words(pane, "head")


@pytest.mark.usefixtures("runs")
async def test_a_chart_is_maximised_and_given_back(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: len(visible(pane)) == 6 and answered(pane))
        pane.query_one("#monitor-chart-1").focus()
        await pilot.press("m")
        await until(pilot, lambda: visible(pane) == ["mIoU"])
        await pilot.press("m")
        await until(pilot, lambda: len(visible(pane)) == 6)


@pytest.mark.usefixtures("runs")
async def test_hovering_draws_nothing_anew(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: answered(pane) and len(visible(pane)) == 6)
        await pilot.pause()
        builds = pane.worker.builds
        for offset in range(5, 60, 5):
            await pilot.hover("#monitor-chart-0", offset=(offset, 5))
        pane.update_snapshot(app.snapshot)
        await until(pilot, lambda: answered(pane))
        assert pane.worker.builds == builds


async def test_appended_rows_appear(workspace, runs):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        writer = MetricsWriter(runs[1].metrics, keep_until_step=10**9)
        writer.write({"step": 4050, "mode": "train", "loss": float("nan"), "grad_norm": 9.0})
        writer.close()
        pane.update_snapshot(app.snapshot)
        await until(pilot, lambda: "NaN in loss at iteration 4,050" in words(pane, "run"))
        loss = next(panel for panel in pane.query(ChartPanel) if panel.column == "loss")
        await until(pilot, lambda: "NaN B @ 4,050" in loss.title.plain)


async def test_without_a_run_it_says_what_will_appear_here(workspace):
    async with run_app(workspace) as (app, pilot):
        await pilot.press("2")
        await until(pilot, lambda: app.snapshot.taken > 0)
        app.pane.update_snapshot(app.snapshot)
        await pilot.pause()
        assert "No runs yet" in shown(app)
        await pilot.press("s", "e", "x", "left", "plus", "m", "m", "t", "f", "n", "S", "R")
        assert app.is_running


async def test_stop_asks_first_and_then_stops(workspace, runs, monkeypatch):
    called = []

    def stop(path):
        called.append(path)
        return Stopped(inspect_run(path), "iter_4000.pth", 0)

    monkeypatch.setattr(monitor_control, "stop_run", stop)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await on_monitor(pilot, app)
        await pilot.press("S", "enter")  # no is in focus
        assert called == []
        await pilot.press("S", "left", "enter")
        await until(pilot, lambda: called)
        assert called == [runs[1].path.resolve()]
        await pilot.press("R")
        assert called[1:] == []  # it is running: nothing to resume


@pytest.mark.usefixtures("runs")
async def test_a_read_only_monitor_starts_and_stops_nothing(workspace, monkeypatch):
    said = []
    async with run_app(workspace, read_only=True) as (app, pilot):
        await on_monitor(pilot, app)
        monkeypatch.setattr(app, "say", lambda text, *_: said.append(text))
        await pilot.press("S", "R")
        assert said == ["Read-only: you cannot start or stop runs here."] * 2
        assert len(app.screen_stack) == 1


@pytest.mark.usefixtures("runs")
async def test_no_colour_leaves_letters_along_the_curves(workspace, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: answered(pane))
        assert pane.request.letters_along
        loss = next(panel for panel in pane.query(ChartPanel) if panel.column == "loss")
        letters = "".join(span.text for row in loss.figure.rows for span in row if span.role == "A")
        assert letters.count("A") >= 3


@pytest.mark.usefixtures("runs")
async def test_copying_gives_the_figures_of_the_run(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await until(pilot, lambda: answered(pane))
        assert "4,000/8,000" in (pane.copy_text() or "")


async def test_trouble_is_said_loudly(workspace, runs, monkeypatch):
    said = []
    async with run_app(workspace) as (app, pilot):
        await on_monitor(pilot, app)
        monkeypatch.setattr(app, "say", lambda *words: said.append(words))
        nan = Alert(time.time(), AlertKind.NOT_FINITE, 3000, column="loss")
        append_alerts(runs[1].alerts, [nan])
        await until(pilot, lambda: said)
        assert said == [("diffbev_default: loss is NaN or infinite at iteration 3,000", "error")]
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, AlertList))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, AlertList) and app.pane is not None)
        assert app.pane.run.path == str(runs[1].path.resolve())


@pytest.mark.usefixtures("runs")
async def test_the_language_changes_while_curves_are_shown(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        await pilot.press("s", "s", "L")
        await until(pilot, lambda: pane.query("#monitor-head") and "平滑 0.6" in words(pane, "head"))
        await until(
            pilot,
            lambda: (
                answered(pane) and all(panel.figure.rows for panel in pane.query(ChartPanel) if panel.display)
            ),
        )
        assert "最新检查点" in words(pane, "run")


async def test_the_figures_below_are_those_of_the_run_that_is_asked_for(workspace, runs):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        pane = await on_monitor(pilot, app)
        assert pane.run.path == str(runs[1].path.resolve())
        await pilot.press("f")
        assert pane.run.path == str(runs[0].path.resolve())
        await until(pilot, lambda: "8,000/8,000" in words(pane, "run"))
        await pilot.press("R")  # finished: nothing to resume
        assert len(app.screen_stack) == 1


async def test_a_stalled_run_is_shown_as_stalled_for_as_long_as_that_lasts(workspace):
    run = write_run(workspace / "runs" / "main", step=4000, max_iters=8000)
    status = json.loads(run.status.read_text())
    stalled = {"phase": "stepping", "median_step_s": 0.1, "idle_s": 750.0}
    run.status.write_text(json.dumps({**status, **stalled}))
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await on_monitor(pilot, app)
        await until(pilot, lambda: "stalled 12 m" in shown(app))
        assert "4,000/8,000" in shown(app)
        assert "ETA" not in shown(app)
        assert "it/s" not in str(app.query_one(StatusLine).content)
        assert "stalled 12 m" in str(app.query_one(StatusLine).content)


async def test_a_damaged_state_file_is_said_and_ends_nothing(workspace):
    run = write_run(workspace / "runs" / "main", step=4000, max_iters=8000)
    run.manifest.unlink()
    run.status.write_text(json.dumps({"state": "training", "max_iters": None, "updated": 1e300}))
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("2")
        await until(pilot, lambda: "status.json is damaged" in shown(app))
        assert "? unknown" in str(app.query_one(StatusLine).content)
        for key in "3456":
            await pilot.press(key)
        assert app.is_running
