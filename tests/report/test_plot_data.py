"""A PNG keeps the numbers of its plot, and nothing that a file may hold becomes more than a message."""

import json
from dataclasses import asdict

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diffbev_engine.report.class_bars import draw_class_iou
from diffbev_engine.report.curve_export import CurveChoice, export_curves
from diffbev_engine.report.experiment import load_experiments
from diffbev_engine.report.plot_data import PNG_KEY, Plot, PlotChart, PlotCurve, PlotRun, read_plot, to_text
from diffbev_engine.report.plotted import class_plot, reduced
from diffbev_engine.report.style import save_figure

CURVE = PlotCurve(
    PlotRun("训练", "../a"), (1.0, 2.0), (0.5, 0.25), (0.5, 1.0), ((0.0, 0.0), (2.0, 2.0)), (2.0, 1.0)
)
PLOT = Plot((CURVE.run, PlotRun("other")), (PlotChart("mIoU", (CURVE,), (0.0, 2.0)),))


def _png(path, text):
    about = PngInfo()
    about.add_itxt(PNG_KEY, text, zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=about)
    return path


def test_what_was_written_is_read(tmp_path):
    assert read_plot(_png(tmp_path / "a.png", to_text(PLOT))) == PLOT


def test_a_picture_without_numbers_is_just_a_picture(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert read_plot(tmp_path / "a.png") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "[" * 100_000,
        lambda plot: json.dumps(plot)[:-9],
        lambda plot: json.dumps({**plot, "charts": 3}),
        lambda plot: json.dumps(plot).replace("0.25", "NaN"),
        lambda plot: json.dumps(plot).replace("0.25", "1e999"),
        lambda plot: json.dumps(plot).replace("0.25", "0.25, 0.1"),
        lambda plot: json.dumps(
            {**plot, "classes": ["car"], "bars": [{"run": {"name": "a"}, "step": 1, "values": []}]}
        ),
        lambda plot: json.dumps({**plot, "runs": []}),
        lambda plot: json.dumps(plot).replace('[0.0, 2.0], "log_y"', '[0.0, 1.0], "log_y"'),
        lambda plot: json.dumps({**plot, "more": "x" * 950_000}),
    ],
)
def test_damaged_numbers_are_one_message(tmp_path, damage):
    with pytest.raises(ValueError, match=r"a\.png: the numbers in it are damaged"):
        read_plot(_png(tmp_path / "a.png", damage(asdict(PLOT))))


def test_a_long_curve_keeps_its_spikes_in_few_places():
    values = [0.5] * 40_000
    values[31_337], values[7] = 9.0, -9.0
    steps = range(1_234_567, 1_274_567)
    curve = reduced(PlotRun("a"), steps, values, "lr", smoothed=[0.5] * 40_000)
    assert len(curve.steps) <= 300
    assert (curve.steps[0], curve.steps[-1] <= steps[-1]) == (1_234_567.0, True)
    assert (set(curve.low), curve.high) == ({0.5}, ())
    assert (min(curve.spread[0]), max(curve.spread[1])) == (-9.0, 9.0)


def test_scores_of_classes_are_kept_in_points_and_unknown_ones_as_such(write_run, tmp_path):
    runs = load_experiments([write_run("a", [0.1, 0.2]), write_run("b", [])])
    (path,) = save_figure(draw_class_iou(runs), tmp_path / "plot", ["png"], class_plot(runs, tmp_path))
    plot = read_plot(path)
    (bar,) = plot.bars
    scores = dict(zip(plot.classes, bar.values, strict=True))
    assert (scores["drivable_area"], scores["bus"], scores["mIoU"]) == (20.0, None, 20.0)
    assert (bar.step, bar.run, plot.runs) == (800, plot.runs[0], (PlotRun("a", "a"), PlotRun("b", "b")))


def test_exported_curves_are_kept_as_they_were_chosen(write_run, tmp_path):
    choice = CurveChoice([("A", write_run("a", [0.1, 0.2]))], ["loss", "mIoU"], (100.0, float("inf")), 0.5)
    loss, miou = read_plot(export_curves(choice, tmp_path / "curves.png")).charts
    assert (loss.column, loss.steps, loss.smoothing) == ("loss", (100.0, 1200.0), 0.5)
    assert (loss.curves[0].spread[0][0], miou.curves[0].best) == (10.0, (800.0, 20.0))
