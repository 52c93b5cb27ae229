from array import array
from dataclasses import replace
from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from diffbev_tui.charts import chart
from diffbev_tui.charts.chart import ChartFigure, ChartLine, ChartSpec, draw
from diffbev_tui.charts.series import Band, Extremes, decimate, on_log_scale

SIZE = (60, 14)


def band(values, steps=None) -> Band:
    steps = array("q", steps or range(1, len(values) + 1))
    extremes = Extremes()
    extremes.extend(array("d", values))
    return (
        decimate(steps, array("d", values), extremes, (steps[0], steps[-1]), 50)
        if values
        else Band((), (), ())
    )


def text(figure: ChartFigure) -> list[str]:
    return ["".join(span.text for span in row) for row in figure.rows]


def roles(figure: ChartFigure, role: str) -> list[str]:
    return [span.text for row in figure.rows for span in row if span.role == role]


def spec(*lines: ChartLine, **changes) -> ChartSpec:
    return replace(ChartSpec(tuple(lines), (1, 100), SIZE), **changes)


FALLING = [1 / step for step in range(1, 101)]


def test_a_figure_fills_its_size_with_narrow_characters():
    figure = draw(spec(ChartLine("A", band(FALLING), raw=band(FALLING))))
    assert not figure.error
    assert len(figure.rows) == SIZE[1]
    assert {cell_len(row) for row in text(figure)} == {SIZE[0]}
    assert all(len(row) == cell_len(row) for row in text(figure))


@pytest.mark.parametrize("size", [(16, 5), (17, 6), (80, 24), (200, 60), (15, 5), (3, 1), (0, 0), (1, 40)])
def test_any_size_is_drawn_or_left_empty(size):
    figure = draw(spec(ChartLine("A", band(FALLING)), size=size))
    assert not figure.error
    assert len(figure.rows) in (0, size[1])
    assert all(len(row) == size[0] for row in text(figure))


_poison = st.sampled_from([inf, -inf, nan, 1e308, -1e308, 0.0, -1.0, 5e-324, 1e-300, 1.0])


@given(st.lists(_poison, max_size=40), st.booleans(), st.booleans())
def test_a_poisoned_series_is_drawn(values, log_y, along):
    finite = [value for value in values if isfinite(value)]
    shown = on_log_scale(band(finite)) if log_y else band(finite)
    line = ChartLine("A", shown, raw=shown, bad=(7,), best=(3, 1e300), resumes=(5, 10**9))
    figure = draw(spec(line, log_y=log_y, letters_along=along, cursor=nan if along else 4.0))
    assert not figure.error
    assert len(figure.rows) == SIZE[1]  # NaN at step 7 is something to show


def test_a_figure_that_plotext_cannot_draw_says_why_and_raises_nothing(monkeypatch):
    def fail(*_):
        raise OverflowError("no")

    monkeypatch.setattr(chart, "_built", fail)
    assert draw(spec(ChartLine("A", band(FALLING)))).error == "OverflowError: no"


def test_runs_are_told_apart_by_letters_too():
    lines = [
        ChartLine(letter, band([place + value for value in FALLING])) for place, letter in enumerate("ABC")
    ]
    figure = draw(spec(*lines))
    for letter in "ABC":
        assert any(letter in part for part in roles(figure, letter))
    along = draw(spec(*lines, letters_along=True))
    assert sum(part.count("B") for part in roles(along, "B")) >= 3


def test_the_raw_band_stands_behind_the_curve():
    noisy = [value + (0.5 if place % 2 else 0) for place, value in enumerate(FALLING)]
    figure = draw(spec(ChartLine("A", band(FALLING), raw=band(noisy))))
    assert roles(figure, chart.band_role("A"))
    assert roles(figure, "A")


def test_marks_of_resume_nan_best_and_cursor():
    line = ChartLine("A", band(FALLING), best=(50, 0.5), bad=(75, 80), resumes=(25,))
    figure = draw(spec(line, cursor=60.0))
    assert len(roles(figure, chart.RESUME)) >= 8
    assert roles(figure, chart.BAD) == ["!"]
    assert "*" in "".join(roles(figure, "A"))
    assert len(roles(figure, chart.CURSOR)) >= 8
    column = next(row.index("│", figure.canvas[0]) for row in text(figure) if "│" in row[figure.canvas[0] :])
    assert figure.step_at(column) == pytest.approx(60, abs=2)


def test_a_logarithmic_axis_is_labelled_in_true_values():
    values = [10 ** (-step / 25) for step in range(100)]
    figure = draw(spec(ChartLine("A", on_log_scale(band(values))), log_y=True))
    assert any(row.startswith(" 0.1┤") or "0.1┤" in row for row in text(figure))
    assert any("0.001┤" in row for row in text(figure))


def test_axes_stand_without_a_single_value():
    figure = draw(spec(ChartLine("A", Band((), (), ()), bad=(50,))))
    assert not figure.error
    assert roles(figure, chart.BAD) == ["!"]
