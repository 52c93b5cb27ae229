import json
import math
import random

import pytest

from tests.benchmarks.tui.figure import Figure, median_error, percentile, shown, table


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.95) == 95
    assert percentile(values[:3], 0.95) == 3
    assert percentile([7.0], 0.5) == 7


def test_the_error_of_a_median_is_that_of_normal_values_and_stands_a_wild_one():
    chance = random.Random(0)
    values = [chance.gauss(3.0, 2.0) for _ in range(10_000)]
    assert median_error(values) == pytest.approx(1.2533 * 2.0 / 100, rel=0.05)
    assert median_error([*values, 1e9]) == pytest.approx(median_error(values), rel=0.01)
    assert math.isnan(median_error([1.0]))


def test_a_limit_within_the_error_is_neither_met_nor_missed():
    met, unclear, missed = (Figure("a", "a", value, "%", 1.0, error=0.2) for value in (0.5, 0.9, 1.5))
    assert [one.met for one in (met, unclear, missed)] == [True, None, False]
    assert "cannot be told" in table([unclear])


def test_the_table_says_what_is_missed_and_what_is_not_promised():
    figures = [
        Figure("a", "first", 0.61, "s", 0.6, "of 9"),
        Figure("b", "second", 0.6, "s", 0.6),
        Figure("c", "third", 1234.0, "ms"),
    ]
    first, second, third = table(figures).splitlines()[1:]
    assert "0.61 s" in first
    assert "MISSED" in first
    assert first.endswith("of 9")
    assert second.endswith("met")
    assert "met" not in third.lower().split()
    assert "1234 ms" in third
    assert [one.met for one in figures] == [False, True, None]


def test_a_figure_that_is_no_number_is_none_in_json():
    assert json.loads(json.dumps(Figure("a", "x", math.nan, "s", 1.0).to_json()))["value"] is None


@pytest.mark.parametrize(("value", "text"), [(0.0321, "0.0321"), (99.96, "100"), (123.4, "123"), (2.0, "2")])
def test_three_digits(value, text):
    assert shown(value) == text
