"""The machine next to the loss: on every axis, as recorded, of several runs."""

import math
import time

import pytest

from diffbev_engine.runs.system import SystemWriter
from diffbev_tui.charts.axis import Axis
from diffbev_tui.i18n import set_language
from diffbev_tui.monitor.chart_worker import ChartRequest, ChartResult, ChartWorker
from diffbev_tui.monitor.columns import choices
from diffbev_tui.monitor.run_series import RunSeries
from diffbev_tui.monitor.text import chart_note, chart_title
from tests.tui.monitor.run_files import write_run

LOAD = "system.csv:gpu0_load"
STARTED = 1_790_000_000.0


def record(run, *, last=10_000, stop=0.0):
    """Ten samples of 0 % or 90 %, one of 100 %; ``stop``: seconds for which nothing ran, in the middle."""
    writer = SystemWriter(run.system)
    for place in range(11):
        moment = STARTED + 10 * place + (stop if place > 5 else 0.0)
        load = 100.0 if place == 7 else 90.0 * (place % 2)
        writer.write({"time": moment, "step": last * place // 10, "gpu0_load": load, "host_used_mib": 2048.0})


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", step=10_000)


def answer(*runs, **changes) -> ChartResult:
    answers: list[ChartResult] = []
    worker = ChartWorker(answers.append)
    letters = tuple((letter, run.path) for letter, run in zip("ABC", runs, strict=False))
    charts = (("loss", (60, 12)), (LOAD, (60, 12)))
    worker.ask(ChartRequest(letters, charts, smoothing=0.9, **changes))
    while worker.busy_s:
        time.sleep(0.005)
    return answers[-1]


def text(result: ChartResult) -> str:
    return "\n".join("".join(span.text for span in row) for row in result.charts[1].figure.rows)


def test_a_figure_is_drawn_as_recorded_with_its_unit_on_the_axis(run):
    record(run)
    set_language("en")
    chart = answer(run, log_y=True).charts[1]
    assert (chart.smoothing, chart.log_y, chart.figure.clipped) == (0.0, False, None)
    assert "100%┤" in text(answer(run)), "a peak stays, with its unit"
    assert chart_title(chart, None, dark=True).plain == "GPU0 utilization %  A 0"


def test_it_has_a_value_at_the_cursor_on_every_axis(run):
    record(run)
    for axis, cursor in ((Axis.STEP, 7200.0), (Axis.RELATIVE, 72.0), (Axis.WALL, STARTED + 72)):
        result = answer(run, axis=axis, cursor=cursor)
        assert [one.value for one in result.charts[1].now] == [100.0], axis
        assert result.charts[1].now[0].step == pytest.approx(7000)
    assert answer(run, cursor=11_000.0).charts[1].now[0].value != 100


def test_by_time_the_machine_goes_on_after_the_last_row_and_stops_are_gaps(run):
    record(run, stop=7200.0)
    series = RunSeries(run.path)
    while series.advance():
        pass
    series.want([LOAD])
    assert series.on(Axis.RELATIVE)
    line = series.line("A", LOAD, (0.0, 7300.0), 50, 0.0, log_y=False, axis=Axis.RELATIVE)
    assert line.gaps == (50 + 3605,)
    for seconds in (7400.0, 9000.0):  # stalled: the iteration stays
        SystemWriter(run.system).write({"time": STARTED + seconds, "step": 10_000, "gpu0_load": 0.0})
    series.system.look()
    series.times.look()
    assert series.span_on(Axis.RELATIVE, ["loss"])[1] == 7300
    assert series.span_on(Axis.RELATIVE, [LOAD])[1] == 9000
    newest, at_the_end, later = (
        series.value("loss", 0.0, cursor, Axis.RELATIVE) for cursor in (None, 9000.0, 9100.0)
    )
    assert newest == at_the_end
    assert math.isnan(later[1]), "the run was not seen then"


def test_runs_lie_over_each_other_and_one_without_the_file_is_left_out(run, tmp_path):
    record(run)
    other, bare = write_run(tmp_path / "other", step=5000), write_run(tmp_path / "bare", step=5000)
    record(other, last=5000)
    result = answer(run, bare, other)
    assert [one.letter for one in result.charts[0].now] == ["A", "B", "C"]
    assert [one.letter for one in result.charts[1].now] == ["A", "C"]


def test_what_is_not_there_is_said(run):
    set_language("en")
    result = answer(run)
    assert "no system.csv yet" in chart_note(result.charts[1], result.columns)
    assert any(column == LOAD for column, _ in choices(result.columns)), "offered before it is there"
    SystemWriter(run.system).write({"time": STARTED, "step": 0, "host_used_mib": 2048.0})
    result = answer(run)
    assert "not recorded" in chart_note(result.charts[1], result.columns)
    assert [words for column, words in choices(result.columns) if column.startswith("system")] == [
        "host memory (GiB)  system.csv"
    ]


def test_no_curve_is_drawn_across_a_stop_on_an_axis_of_time(run):
    record(run, stop=3600.0)
    series = RunSeries(run.path)
    series.want(["loss"])
    while series.advance():
        pass
    for axis, start in ((Axis.WALL, STARTED), (Axis.RELATIVE, 0.0)):
        assert series.on(axis)
        line = series.line("A", "loss", (start, start + 3700), 60, 0.0, log_y=False, axis=axis)
        assert [start + 50 < gap < start + 3660 for gap in line.gaps] == [True]
        _, values = line.curve.line(line.gaps)
        assert sum(map(math.isnan, values)) == 1
    line = series.line("A", "loss", (0, 10_000), 60, 0.0, log_y=False, axis=Axis.STEP)
    assert line.gaps == ()
