"""The figures hold the data: lines, bands and bars with the right points."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.report.class_bars import draw_class_iou
from diffbev_engine.report.curves import draw_learning_rate, draw_loss, draw_miou
from diffbev_engine.report.experiment import load_experiments
from diffbev_engine.report.smoothing import smooth
from diffbev_engine.report.style import paper_style, run_style, save_figure
from diffbev_engine.runs.metrics.table import Series


@pytest.fixture
def pair(write_run):
    baseline = write_run("Baseline", [0.10, 0.20, 0.15])
    return load_experiments([baseline, write_run("DiffBEV", [0.10, 0.30], diffusion=True)])


def _line(figure, label):
    return next(line for line in figure.axes[0].get_lines() if line.get_label().startswith(label))


def _words(figure):
    legends = [*figure.legends, figure.axes[0].get_legend()]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


def test_loss_is_the_running_mean_in_the_band_of_raw_values(pair):
    figure = draw_loss(pair, "loss")
    steps, values = _line(figure, "Baseline").get_data()
    assert steps.tolist() == list(range(10, 1201, 10))
    np.testing.assert_allclose(values[1:-1], np.arange(2, 120))  # rows 1 … 120, windows of 3
    assert values[0] == 1.5  # what there is of the first window
    bands = [each for each in figure.axes[0].collections if isinstance(each, PolyCollection)]
    assert len(bands) == 2
    assert figure.axes[0].get_yscale() == "log"  # 1 to 120
    assert "running mean over 3 logged rows" in figure.get_supxlabel()


def test_a_run_that_does_not_log_a_loss_is_named(pair):
    figure = draw_loss(pair, "Ldiff")
    assert _words(figure) == ["DiffBEV", "Baseline: not logged by this run"]
    assert len(figure.axes[0].get_lines()) == 1
    assert _line(figure, "DiffBEV").get_ydata()[60] == 2 * 61


def test_a_loss_that_nobody_logs_is_a_sentence(pair):
    figure = draw_loss(pair[:1], "Ldepth")
    assert not figure.axes[0].get_lines()
    assert figure.axes[0].texts[0].get_text() == "Ldepth: not logged by any of these runs"


def test_miou_at_every_evaluation_with_the_best_one_ringed(pair):
    figure = draw_miou(pair)
    line = _line(figure, "Baseline")
    np.testing.assert_allclose(line.get_data(), [[400, 800, 1200], [10, 20, 15]])
    assert line.get_label() == "Baseline: best 20.00 at step 800"
    rings = [each for each in figure.axes[0].get_lines() if each.get_label() == "_best"]
    np.testing.assert_allclose([ring.get_xydata()[0] for ring in rings], [[800, 20], [800, 30]])


def test_learning_rate(pair):
    figure = draw_learning_rate(pair)
    assert set(_line(figure, "DiffBEV").get_ydata()) == {1e-4}


def test_class_bars(pair):
    figure = draw_class_iou(pair)
    baseline, diffbev = figure.axes[0].containers
    expected = [0 if name == "bus" else 20 + number for number, name in enumerate(CLASSES)]
    np.testing.assert_allclose([bar.get_width() for bar in baseline], [*expected, 20])
    np.testing.assert_allclose(diffbev[0].get_width(), 30)
    assert _words(figure) == ["Baseline (step 800)", "DiffBEV (step 800)"]
    assert [text.get_text() for text in figure.axes[0].texts].count("–") == 2


def test_many_runs_share_a_page(write_run):
    runs = load_experiments([write_run(f"run{number}", [number / 10]) for number in range(1, 7)])
    figure = draw_class_iou(runs)
    assert figure.get_figheight() < 8
    assert _line(figure, "run3").get_xdata()[0] == pytest.approx(30)
    styles = {(style.colour, str(style.line), style.marker) for style in map(run_style, range(6))}
    for part in range(3):
        assert len({style[part] for style in styles}) >= 5


def test_smoothing_of_a_long_run():
    rng = np.random.default_rng(0)
    values = 3 + rng.normal(0, 1, 40_000)
    curve = smooth(Series(tuple(range(40_000)), tuple(values)))
    assert len(curve.steps) <= 300
    assert (curve.steps[0], curve.steps[-1]) == (0, 39_999)
    assert curve.window == 1001
    np.testing.assert_allclose(curve.mean, 3, atol=0.2)
    np.testing.assert_allclose(curve.high - curve.low, 2 * 1.645, atol=0.5)


def test_a_short_run_is_not_smoothed():
    curve = smooth(Series((1, 2, 5), (3.0, 1.0, 2.0)))
    assert curve.window == 1
    assert curve.mean.tolist() == [3, 1, 2]


def test_a_vector_file_is_the_same_for_the_same_numbers(pair, tmp_path):
    contents = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        with paper_style():
            paths = save_figure(draw_miou(pair), tmp_path / folder / "mIoU", ["pdf", "svg"])
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"%PDF")
