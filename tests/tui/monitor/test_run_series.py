import time
from dataclasses import replace

import pytest

from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.view_window import Follow, Span, ViewWindow
from diffbev_tui.monitor.chart_worker import ChartRequest, ChartResult, ChartWorker
from diffbev_tui.monitor.run_series import RunSeries
from tests.tui.monitor.run_files import write_run

SPAN = (50.0, 10_000.0)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", step=10_000, resumed=(3000, 7000))


def read(run) -> RunSeries:
    series = RunSeries(run.path)
    while series.advance():
        pass
    return series


def ask(desk_wish: ChartRequest, frames: int = 1) -> tuple[ChartWorker, list[ChartResult]]:
    answers: list[ChartResult] = []
    desk = ChartWorker(answers.append)
    for _ in range(frames):
        desk.ask(desk_wish)
        while desk.busy_s:
            time.sleep(0.005)
    return desk, answers


def test_resumes_are_found_in_the_logs(run):
    series = read(run)
    assert series.resumes == [3000, 7000]
    assert len(series.files.log) == 11
    assert series.files.checkpoint == "iter_8000.pth"
    assert series.span == (50, 10_000)


def test_smoothing_follows_appended_rows(run):
    series = read(run)
    series.line("A", "loss", SPAN, 50, 0.9, log_y=False)
    before = series.value("loss", 0.9, None, Axis.STEP)[1]
    writer = MetricsWriter(run.metrics, keep_until_step=10**9)
    writer.write({"step": 10_050, "mode": "train", "loss": 100.0})
    writer.close()
    while series.advance():
        pass
    assert series.value("loss", 0.9, None, Axis.STEP)[1] == pytest.approx(
        before + 0.1 * (100 - before), rel=1e-3
    )


def test_scores_are_never_smoothed_and_have_a_best(run):
    line = read(run).line("A", "mIoU", SPAN, 50, 0.97, log_y=False)
    assert line.raw is None
    assert line.best is not None
    assert line.best[1] == max(line.curve.high)


def test_a_wish_is_answered_with_figures_and_facts(run):
    request = ChartRequest((("A", run.path),), (("loss", (60, 12)), ("mIoU", (60, 12))), smoothing=0.9)
    _, answers = ask(request)
    result = answers[-1]
    assert result.request is request
    assert [chart.column for chart in result.charts] == ["loss", "mIoU"]
    assert all(chart.figure.rows for chart in result.charts)
    assert result.charts[0].now[0].step == 10_000
    assert result.facts[0].grad_norm == pytest.approx(4, abs=1.1)
    assert "IoU/car" in result.facts[0].columns


def test_nothing_is_drawn_again_while_nothing_changes(run):
    request = ChartRequest((("A", run.path),), (("loss", (60, 12)),))
    desk, answers = ask(request, frames=3)
    assert len(answers) == 1
    again = replace(request, followed="A")
    desk.ask(again)
    while desk.busy_s:
        time.sleep(0.005)
    assert answers[-1].request is again
    assert desk.builds == 1


def test_a_new_row_is_answered_although_the_wish_is_the_same(run):
    request = ChartRequest((("A", run.path),), (("loss", (60, 12)),))
    desk, answers = ask(request)
    writer = MetricsWriter(run.metrics, keep_until_step=10**9)
    writer.write({"step": 10_050, "mode": "train", "loss": 1.0})
    writer.close()
    desk.ask(request)
    while desk.busy_s:
        time.sleep(0.005)
    assert answers[-1].charts[0].now[0].step == 10_050
    assert desk.builds == 2


def test_the_cursor_reads_each_run_where_it_has_been(run, tmp_path):
    short = write_run(tmp_path / "short", step=500)
    request = ChartRequest((("A", run.path), ("B", short.path)), (("loss", (60, 12)),), cursor=2020.0)
    _, answers = ask(request)
    longer, shorter = answers[-1].charts[0].now
    assert longer.step == 2000
    assert shorter.value != shorter.value


def test_a_run_without_rows_is_no_error(tmp_path):
    _, answers = ask(ChartRequest((("A", tmp_path),), (("loss", (60, 12)),)))
    assert answers[-1].span is None
    assert answers[-1].charts[0].figure.rows == ()


ALL, LONGER = Span(0, 1000, 1000), Span(0, 2000, 2000)


def test_a_tail_follows_the_run_in_hand_not_the_longest():
    assert ViewWindow(Follow.TAIL).of(Span(0, 2000, 500)) == (400, 500)


def test_the_window_follows_the_tail_or_stays():
    window = ViewWindow().next_follow(ALL)
    assert window.follow is Follow.TAIL
    assert window.of(ALL) == (800, 1000)
    frozen = window.next_follow(ALL)
    assert frozen.of(LONGER) == (800, 1000)
    assert frozen.next_follow(LONGER) == ViewWindow()


def test_zooming_and_panning_stay_on_the_run():
    window = ViewWindow().zoomed(ALL, 0.5)
    assert window.of(ALL) == (500, 1000), "the newest step stays"
    assert window.zoomed(ALL, 0.5, centre=600).of(ALL) == (550, 800), "the cursor stays"
    for _ in range(9):
        window = window.panned(ALL, 1)
    assert window.of(ALL) == (500, 1000)
    for _ in range(9):
        window = window.panned(ALL, -1)
    assert window.of(ALL) == (0, 500)
    for _ in range(60):
        window = window.zoomed(ALL, 0.5)
    assert window.right - window.left >= 1
    for _ in range(60):
        window = window.zoomed(ALL, 2)
    assert window == ViewWindow()


def test_zooming_the_tail_keeps_following():
    window = ViewWindow(Follow.TAIL).zoomed(ALL, 0.5)
    assert window.of(ALL) == (900, 1000)
    assert window.of(LONGER) == (1900, 2000)


def test_the_window_moves_with_a_cursor_that_leaves_it():
    window = ViewWindow(Follow.FROZEN, left=100, right=200)
    assert window.showing(ALL, 150) is window
    assert window.showing(ALL, 210).of(ALL) == (110, 210)
    assert window.showing(ALL, 90).of(ALL) == (90, 190)
