from array import array
from math import isfinite, log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.core.format import step_label
from diffbev_engine.runs.metrics.smoothing import Smoother
from diffbev_tui.charts.series import Band, Extremes, decimate, on_log_scale, value_range
from diffbev_tui.charts.ticks import axis_labels, linear_ticks, log_ticks, number

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.lists(finite, min_size=1, max_size=400)
betas = st.sampled_from([0.0, 0.6, 0.9, 0.97])


def smooth(numbers, beta):
    smoother = Smoother(beta)
    smoother.extend(array("d", numbers))
    return list(smoother.values)


def band_of(numbers, columns, window=None):
    steps = array("q", range(1, len(numbers) + 1))
    extremes = Extremes()
    extremes.extend(array("d", numbers))
    return decimate(steps, array("d", numbers), extremes, window or (1, len(numbers)), columns)


@given(st.floats(-1e299, 1e299), st.integers(1, 200), betas)
def test_smoothing_keeps_a_constant(value, count, beta):
    assert smooth([value] * count, beta) == [value] * count


@given(values, betas)
def test_smoothing_never_leaves_the_range_of_the_values(numbers, beta):
    smoothed = smooth(numbers, beta)
    assert all(map(isfinite, smoothed))
    drawn = [min(max(value, -1e300), 1e300) for value in numbers]
    tolerance = 1e-9 * max(map(abs, drawn))
    assert min(smoothed) >= min(drawn) - tolerance
    assert max(smoothed) <= max(drawn) + tolerance


@given(values, values, betas)
def test_smoothing_in_pieces_is_smoothing_at_once(first, second, beta):
    smoother = Smoother(beta)
    smoother.extend(array("d", first))
    smoother.extend(array("d", first + second))
    assert list(smoother.values) == smooth(first + second, beta)


def test_smoothing_is_the_average_corrected_for_its_start():
    numbers, beta, average, expected = [3.0, -1.0, 4.0, 1.0, -5.0], 0.9, 0.0, []
    for place, value in enumerate(numbers, start=1):
        average = beta * average + (1 - beta) * value
        expected.append(average / (1 - beta**place))
    assert smooth(numbers, beta) == pytest.approx(expected)


@given(st.lists(st.floats(-1e299, 1e299), min_size=1, max_size=3000), st.integers(1, 50))
def test_decimation_loses_no_spike(numbers, columns):
    band = band_of(numbers, columns)
    assert min(band.low) == min(numbers)
    assert max(band.high) == max(numbers)
    assert len(band) <= 2 * columns
    assert len(band.line()[0]) <= 2 * len(band)
    assert list(band.x) == sorted(band.x)


@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=2000),
    st.integers(0, 2000),
    st.integers(1, 600),
    st.integers(1, 9),
)
def test_decimation_shows_its_window_only(numbers, left, width, columns):
    inside = numbers[max(left - 1, 0) : left + width]
    band = band_of(numbers, columns, (left, left + width))
    assert sorted({*band.low, *band.high})[:1] == sorted(set(inside))[:1]
    assert max(band.high, default=None) == max(inside, default=None)


def test_decimation_of_nothing_and_of_one_point():
    assert len(band_of([], 10, (0, 1))) == 0
    assert band_of([5.0], 10, (0, 1)).line() == ([1.0], [5.0])
    assert len(band_of([5.0], 0)) == 0


def test_extremes_grow_with_the_curve():
    numbers = array("d", [float(place % 7) for place in range(1000)])
    extremes = Extremes()
    for end in range(0, 1001, 37):
        extremes.extend(numbers[:end])
    numbers.append(-3.0)
    assert extremes.between(numbers, 0, 1001) == (-3.0, 6.0)
    assert extremes.between(numbers, 255, 258) == (min(numbers[255:258]), max(numbers[255:258]))


def test_values_too_large_to_draw_are_drawn_at_the_limit():
    assert band_of([1e308, -1e308, 0.0], 9).high[0] == 1e300
    assert smooth([1e308, -1e308], 0.9)[0] == 1e300


def test_a_logarithmic_scale_leaves_out_what_is_not_positive():
    band = on_log_scale(Band([1, 2, 3], [0.1, -1, -2], [10, 100, 0]))
    assert band == Band([1, 2], [-1, 2], [1, 2])


def test_a_range_is_never_empty():
    assert value_range([]) == (0, 1)
    low, high = value_range([Band([1], [5.0], [5.0])])
    assert low < 5 < high
    low, high = value_range([Band([1], [0.0], [0.0])])
    assert low < 0 < high


@given(st.floats(-1e290, 1e290), st.floats(1e-290, 1e290), st.integers(1, 12))
def test_ticks_lie_in_their_range_and_are_not_too_many(low, span, most):
    ticks = linear_ticks(low, low + span, most)
    assert len(ticks) <= most + 1
    assert all(
        low - 1e-6 * span - 1e-6 * abs(low) <= tick <= low + span + 1e-6 * span + 1e-6 * abs(low)
        for tick in ticks
    )


@given(st.floats(-300, 299), st.floats(1e-3, 600), st.integers(2, 12))
def test_logarithmic_ticks_lie_in_their_range(low, span, most):
    high = min(low + span, 300)
    ticks = log_ticks(low, high, most)
    assert len(ticks) <= most + 1
    assert all(low - 1e-6 <= tick <= high + 1e-6 for tick in ticks)


def test_ticks_of_a_falling_loss():
    assert linear_ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [round(10**tick, 3) for tick in log_ticks(log10(0.2), log10(1.2), 5)] == [0.2, 0.5, 1]
    assert axis_labels([0.0, 0.5, 1.0]) == ["0.0", "0.5", "1.0"]
    assert axis_labels([100.0, 200.0]) == ["100", "200"]
    assert axis_labels([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]


def test_numbers_are_short():
    assert [number(value) for value in (0.28712, 1.594e-4, 41_350, 0, -2.5, 1e308)] == [
        *("0.287", "1.59e-4", "41350", "0", "-2.50", "1e308"),
    ]
    assert [step_label(step) for step in (0, 500, 50_000, 1_200_000, 2500)] == [
        "0",
        "500",
        "50k",
        "1.2M",
        "2.5k",
    ]
