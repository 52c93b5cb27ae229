"""Scores of several runs as rows of characters: bars where there is room, else places on a line."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffbev_engine.core.format import points
from diffbev_tui.charts.chart import AXIS, ChartFigure, Span
from diffbev_tui.charts.ticks import axis_labels, linear_ticks

_EIGHTHS = " ▏▎▍▌▋▊▉"
_VALUE = 6
"""Columns of ``  65.1``."""
_LEAST = 12
"""Columns that bars need to be told apart."""


@dataclass(frozen=True)
class BarsSpec:
    """Everything that a figure of bars depends on."""

    labels: tuple[str, ...]
    """One cell a character."""
    runs: tuple[tuple[str, tuple[float | None, ...]], ...]
    """Letter, and a value of at least 0 for each label; ``None``: unknown."""
    size: tuple[int, int]
    """Columns; rows that there are, which the figure may exceed."""


def draw_bars(spec: BarsSpec) -> ChartFigure:
    """A group of bars for each label, or a line for each if that many rows do not fit."""
    values = [value for _, row in spec.runs for value in row if value is not None]
    width, height = spec.size
    head = max(map(len, spec.labels), default=0) + 2
    if not values or width < head + _VALUE + _LEAST:
        return ChartFigure((), spec.size)
    groups = len(spec.labels) * len(spec.runs) + 1
    draw = _groups if groups <= height else _lines
    rows = draw(spec, head, max(*values, 1.0))
    gaps = len(spec.labels) - 1
    if draw is _groups and len(spec.runs) > 1 and groups + gaps <= height:
        rows = _apart(rows, len(spec.runs))
    return ChartFigure(tuple(map(tuple, rows)), spec.size)


def _groups(spec: BarsSpec, head: int, top: float) -> list[list[Span]]:
    """``car   A ██████▌ 12.3``, the next run below it."""
    room = spec.size[0] - head - 2 - _VALUE
    rows = []
    for place, label in enumerate(spec.labels):
        for number, (letter, values) in enumerate(spec.runs):
            value = values[place]
            filled = _bar((value or 0.0) / top * room)
            name = "" if number else label
            bar = f"{letter} {filled}".rstrip()
            rows.append(
                [Span(f" {name:<{head - 1}}", AXIS), Span(bar, letter), Span(f" {_points(value)}", "")]
            )
    return [*rows, [Span(" " * (head + 2) + _scale(top, room), AXIS)]]


def _lines(spec: BarsSpec, head: int, top: float) -> list[list[Span]]:
    """``car   ·····A···B····  12.3  20.1``: each letter stands at its value; as many values as fit."""
    shown = min(len(spec.runs), max((spec.size[0] - head - _LEAST) // _VALUE, 0))
    room = spec.size[0] - head - shown * _VALUE - 1
    rows = []
    for place, label in enumerate(spec.labels):
        known = [(values[place], letter) for letter, values in spec.runs]
        cells = _placed([(value / top, letter) for value, letter in known if value is not None], room)
        row = [Span(f" {label:<{head - 1}}", AXIS)]
        row += [Span(cell, AXIS if cell == "·" else cell) for cell in cells]
        for _, values in spec.runs[:shown]:
            value = values[place]
            row.append(Span(f"{_points(value):>{_VALUE}}", ""))
        rows.append(row)
    letters = [Span(f"{letter:>{_VALUE}}", letter) for letter, _ in spec.runs[:shown]]
    return [*rows, [Span(" " * head + f"{_scale(top, room):<{room}}", AXIS), *letters]]


def _placed(runs: Sequence[tuple[float, str]], room: int) -> list[str]:
    """A line with each letter at its share of it; those too close stand side by side, in order."""
    cells = ["·"] * room
    ordered = sorted(runs, key=lambda run: run[0])[-room:]
    places: list[int] = []
    for share, _ in ordered:
        places.append(max(round(share * (room - 1)), places[-1] + 1 if places else 0))
    end = room
    for place, (_, letter) in zip(reversed(places), reversed(ordered), strict=True):
        end = min(place, end - 1)
        cells[end] = letter
    return cells


def _points(value: float | None) -> str:
    return points(None if value is None else value / 100)


def _bar(cells: float) -> str:
    eighths = round(cells * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _scale(top: float, room: int) -> str:
    """At least three round numbers, each at its place."""
    most = max(3, room // 10)
    ticks = next((found for more in range(9) if len(found := linear_ticks(0.0, top, most + more)) >= 3), [])
    text = ""
    for tick, label in zip(ticks, axis_labels(ticks), strict=True):
        at = round(tick / top * (room - 1))
        if at >= len(text) and at + len(label) <= room:
            text = f"{text:<{at}}{label} "
    return text.rstrip()


def _apart(rows: Sequence[list[Span]], count: int) -> list[list[Span]]:
    """A blank row between groups."""
    spaced: list[list[Span]] = []
    for number, row in enumerate(rows):
        if number and number % count == 0 and number < len(rows) - 1:
            spaced.append([])
        spaced.append(row)
    return spaced
