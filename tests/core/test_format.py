"""Numbers as people read them, in both languages."""

import re

from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.core.format import (
    UNKNOWN,
    age,
    ago,
    byte_size,
    count,
    duration,
    gib,
    mib_size,
    percent,
    points,
    progress,
)

_IN_SECONDS = {
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 86_400,
    "秒": 1,
    "分": 60,
    "分钟": 60,
    "小时": 3600,
    "天": 86_400,
}
_IN_BYTES = {unit: 1024**power for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))}


def _seconds(text):
    return sum(float(number) * _IN_SECONDS[unit] for number, unit in re.findall(r"([\d.]+) (\S+)", text))


def test_each_kind_of_number_has_one_look():
    for shown, text in (
        (duration(0.44, tenths=True), "0.4 s"),
        (duration(9.96, tenths=True), "10 s"),
        (duration(0.44), "0 s"),
        (duration(371), "6 min 11 s"),
        (duration(723), "12 min 03 s"),
        (duration(20_880), "5 h 48 min"),
        (duration(3 * 86_400 + 7200), "3 d 2 h"),
        (duration(723, "zh"), "12 分 03 秒"),
        (duration(20_880, "zh"), "5 小时 48 分"),
        (age(59.9), "59 s"),
        (ago(16 * 60), "16 min ago"),
        (ago(16 * 60, "zh"), "16 分钟前"),
        (ago(-3), "0 s ago"),
        (byte_size(512), "512 B"),
        (byte_size(12.6 * 2**30), "12.6 GiB"),
        (byte_size(28 * 2**30, 2), "28.00 GiB"),
        (mib_size(512), "512 MiB"),
        (mib_size(20_480), "20.0 GiB"),
        (gib(12_902), "12.6"),
        (percent(0.41, 0), "41%"),
        (percent(0.207), "20.7%"),
        (points(0.0762), "7.6"),
        (points(0.02, signed=True), "+2.0"),
        (points(-0.02, 2, signed=True), "-2.00"),
        (count(20_000), "20,000"),
        (progress(41_350, 200_000), "41,350/200,000"),
    ):
        assert shown == text


def test_what_is_not_known_is_a_dash():
    for shown in (duration, age, ago, byte_size, mib_size, gib, percent, points, count):
        assert shown(None) == UNKNOWN
    assert progress(None, 200) == UNKNOWN
    assert duration(-1) == UNKNOWN


@given(st.floats(0, 1e8), st.sampled_from(["en", "zh"]))
def test_a_duration_is_what_it_says_to_the_unit_below_its_largest(seconds, language):
    text = duration(seconds, language)
    smallest = _IN_SECONDS[text.split()[-1]]
    assert abs(_seconds(text) - seconds) < smallest + 0.5
    assert smallest <= max(seconds / 24, 1)


@given(st.floats(0, 1e9), st.sampled_from(["en", "zh"]))
def test_an_age_never_says_more_than_has_passed(seconds, language):
    text = age(seconds, language)
    assert _seconds(text) <= seconds < _seconds(text) + _IN_SECONDS[text.split()[-1]]


@given(st.integers(0, 2**55), st.integers(1, 2))
def test_a_size_stays_below_the_next_unit_and_keeps_its_value(size, digits):
    number, unit = byte_size(size, digits).split()
    assert float(number) < 1024
    assert abs(float(number) * _IN_BYTES[unit] - size) <= 0.51 * _IN_BYTES[unit]
    assert unit == "B" or float(number) >= 1


def test_a_change_that_rounds_to_nothing_has_no_minus():
    assert points(-0.0001, signed=True) == "+0.0"
    assert points(-0.0001) == "0.0"
    assert points(-0.0006, signed=True) == "-0.1"
