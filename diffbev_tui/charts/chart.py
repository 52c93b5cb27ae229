"""A chart as rows of characters: plotext draws axes and curves, the marks are put on top.

The figure holds ASCII, braille and box characters only: plotext 5.3.2 misplaces wide ones.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diffbev_tui.charts.axis import Axis, y_axis
from diffbev_tui.charts.series import Band, clipped_range, value_range
from diffbev_tui.run_book import LETTERS

SMALLEST = (16, 5)
_UNITS_FROM = 32
"""Columns from which the axis has room for a unit; the title has it too."""
_LETTER_EVERY = 12
"""Columns between the letters along a curve, where colours cannot tell curves apart."""

AXIS, CURSOR, RESUME, BAD = "axis", "cursor", "resume", "bad"
_BAND = "~"


def band_role(letter: str) -> str:
    """The role of the raw values behind a smoothed curve."""
    return letter + _BAND


_ROLES = (AXIS, *LETTERS, *map(band_role, LETTERS))
"""What a cell shows.  plotext is given their places as colour numbers, which come back in what it builds."""
_FIRST_COLOUR = 16
"""Those before it are written in another way."""
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_ONE_FIGURE = threading.Lock()
"""plotext has one figure."""


class Span(NamedTuple):
    """Characters of one role; "" is empty background."""

    text: str
    role: str


@dataclass(frozen=True)
class ChartLine:
    """One run in a chart; logarithms already where the scale is logarithmic."""

    letter: str
    curve: Band
    raw: Band | None = None
    """What the curve was smoothed from."""
    best: tuple[float, float] | None = None
    bad: Sequence[float] = ()
    """Where NaN or infinity begins, on the x axis."""
    gaps: Sequence[float] = ()
    """Where the curve is not connected: between is a value that is not finite, or a stop."""
    resumes: Sequence[float] = ()


@dataclass(frozen=True)
class ChartSpec:
    """Everything that a figure depends on."""

    lines: tuple[ChartLine, ...]
    window: tuple[float, float]
    size: tuple[int, int]
    """Columns and rows."""
    log_y: bool = False
    cursor: float | None = None
    letters_along: bool = False
    """Letters along the curves, for terminals without colour."""
    clip: bool = True
    """Leave single values out that would flatten the rest."""
    axis: Axis = Axis.STEP
    unit: str = ""
    """Of the values; written on the axis where there is room."""


@dataclass(frozen=True)
class ChartFigure:
    """A figure, ready to be coloured."""

    rows: tuple[tuple[Span, ...], ...]
    size: tuple[int, int]
    window: tuple[float, float] = (0.0, 1.0)
    canvas: tuple[int, int] = (0, 1)
    """First column of the drawing area, and one past its last."""
    clipped: tuple[float, float] | None = None
    """Smallest and largest value of all, where some are outside the range that is shown."""
    error: str = ""
    """Why there is none."""

    def step_at(self, column: int) -> float:
        """The step that a column of the figure stands for."""
        left, right = self.window
        width = max(self.canvas[1] - self.canvas[0] - 1, 1)
        share = min(max((column - self.canvas[0]) / width, 0.0), 1.0)
        return left + share * (right - left)


def too_small(size: tuple[int, int]) -> bool:
    """Whether there is no room for a figure."""
    return size[0] < SMALLEST[0] or size[1] < SMALLEST[1]


def draw(spec: ChartSpec) -> ChartFigure:
    """Draw; a figure that cannot be drawn is empty and says why, and nothing is ever raised."""
    if too_small(spec.size):
        return ChartFigure((), spec.size)
    if not any(len(line.curve) or line.bad for line in spec.lines):
        return ChartFigure((), spec.size)
    try:
        return _draw(spec)
    except Exception as error:  # the app must outlive whatever plotext makes of odd values
        return ChartFigure((), spec.size, error=f"{type(error).__name__}: {error}")


def _draw(spec: ChartSpec) -> ChartFigure:
    left, right = spec.window
    if right <= left:
        left, right = left - 0.5, left + 0.5
    bands = [band for line in spec.lines for band in (line.curve, line.raw) if band]
    low, high, clipped = clipped_range(bands) if spec.clip else (*value_range(bands), None)
    grid = _Grid(_built(spec, (left, right), (low, high)), (left, right), (low, high))
    grid.mark(spec)
    return ChartFigure(grid.rows(), spec.size, (left, right), (grid.left, grid.right), clipped=clipped)


def _built(spec: ChartSpec, x: tuple[float, float], y: tuple[float, float]) -> str:
    """Axes and curves, by plotext: rows of characters with roles as colour numbers."""
    import plotext

    width, height = spec.size
    x_ticks, x_labels = spec.axis.ticks(*x, max(2, width // 12))
    unit = spec.unit if width >= _UNITS_FROM else ""
    y_ticks, y_labels = y_axis(*y, height - 2, log_y=spec.log_y, unit=unit)
    with _ONE_FIGURE:
        plotext.clear_figure()
        plotext.limit_size(False, False)
        plotext.plot_size(width, height)
        plotext.canvas_color("default")
        plotext.axes_color("default")
        plotext.ticks_color(_FIRST_COLOUR)
        plotext.xaxes(True, False)
        plotext.yaxes(True, False)
        plotext.xlim(*x)
        plotext.ylim(*y)
        plotext.yticks(y_ticks, y_labels)
        plotext.xticks(x_ticks, x_labels)
        # A point that is always there, out of sight: plotext draws no axes without data.
        plotext.scatter([x[0] - 10 * (x[1] - x[0])], [y[0]], marker="braille", color=_FIRST_COLOUR)
        for line in spec.lines:
            if line.raw:
                _curve(line.raw, line.gaps, y, band_role(line.letter))
        for line in spec.lines:
            if len(line.curve):
                _curve(line.curve, line.gaps, y, line.letter)
        built: str = plotext.build()
    return built


def _curve(band: Band, gaps: Sequence[float], y: tuple[float, float], role: str) -> None:
    import plotext

    xs, ys = band.line(gaps)
    inside = [min(max(value, y[0]), y[1]) for value in ys]  # NaN stays: it is a gap
    plotext.plot(xs, inside, marker="braille", color=_FIRST_COLOUR + _ROLES.index(role))


class _Grid:
    """The characters that plotext has put down, the lowest row first, and the marks over them."""

    def __init__(self, built: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        parsed = [_parsed(line) for line in built.rstrip("\n").split("\n")][::-1]
        self._characters: list[list[str]] = [characters for characters, _ in parsed]
        self._roles: list[list[str]] = [roles for _, roles in parsed]
        corner = next(row for row, characters in enumerate(self._characters) if "└" in characters)
        self.left, self.right = self._characters[corner].index("└") + 1, len(self._characters[corner])
        self._bottom, self._top = corner + 1, len(self._characters)
        self._x, self._y = x, y

    def mark(self, spec: ChartSpec) -> None:
        """Resume points and cursor where there is room, NaN on the axis, best values, letters."""
        for line in spec.lines:
            for step in line.resumes:
                self._rule(self._column(step), "┊", RESUME)
        if spec.cursor is not None:
            self._rule(self._column(spec.cursor), "│", CURSOR, over_bands=True)
        for line in spec.lines:
            for step in line.bad[:1]:
                self._put(self._column(step), self._bottom - 1, "!", BAD)
            self._mark_clipped(line)
            if spec.letters_along:
                self._letters_along(line)
            if line.best is not None:
                self._put(self._column(line.best[0]), self._row(line.best[1]), "*", line.letter)
        self._letters_at_the_ends(spec.lines)

    def _mark_clipped(self, line: ChartLine) -> None:
        """Where the curve leaves the range that is shown."""
        low, high = self._y
        for band in (line.curve, line.raw) if line.raw else (line.curve,):
            for x, least, most in zip(band.x, band.low, band.high, strict=True):
                if most > high:
                    self._put(self._column(x), self._top - 1, "▲", line.letter)
                if least < low:
                    self._put(self._column(x), self._bottom, "▼", line.letter)

    def _letters_along(self, line: ChartLine) -> None:
        role = line.letter
        first = self.left + 3 + 2 * (LETTERS.index(line.letter) % 6)
        for column in range(first, self.right - 2, _LETTER_EVERY):
            rows = [row for row in range(self._bottom, self._top) if self._roles[row][column] == role]
            if rows:
                self._put(column, rows[len(rows) // 2], line.letter, role)

    def _letters_at_the_ends(self, lines: Sequence[ChartLine]) -> None:
        taken = set()
        for line in lines:
            if not len(line.curve):
                continue
            column = self._column(line.curve.x[-1])
            low, high = self._y
            row = self._row(min(max((line.curve.low[-1] + line.curve.high[-1]) / 2, low), high))
            if column is None or row is None:
                continue
            while (column, row) in taken and column > self.left:
                column -= 1
            taken.add((column, row))
            self._put(column, row, line.letter, line.letter)

    def _column(self, step: float) -> int | None:
        return _place(step, self._x, self.left, self.right)

    def _row(self, value: float) -> int | None:
        return _place(value, self._y, self._bottom, self._top)

    def _rule(self, column: int | None, character: str, role: str, *, over_bands: bool = False) -> None:
        if column is None:
            return
        for row in range(self._bottom, self._top):
            at = self._roles[row][column]
            if self._characters[row][column] == " " or (over_bands and at.endswith(_BAND)):
                self._put(column, row, character, role)

    def _put(self, column: int | None, row: int | None, character: str, role: str) -> None:
        if column is not None and row is not None and 0 <= row < len(self._characters):
            self._characters[row][column], self._roles[row][column] = character, role

    def rows(self) -> tuple[tuple[Span, ...], ...]:
        """The rows from the top, neighbours of one role together."""
        return tuple(
            _spans(characters, roles)
            for characters, roles in zip(self._characters[::-1], self._roles[::-1], strict=True)
        )


def _parsed(line: str) -> tuple[list[str], list[str]]:
    """The characters of a row that plotext has built, and the role of each."""
    characters: list[str] = []
    roles: list[str] = []
    role, at = "", 0
    for found in (*_SGR.finditer(line), None):
        text = line[at : found.start() if found else len(line)]
        characters += text
        roles += [role if character != " " else "" for character in text]
        if found:
            codes, at = found[1].split(";"), found.end()
            role = _ROLES[int(codes[2]) - _FIRST_COLOUR] if codes[:2] == ["38", "5"] else ""
    return characters, roles


def _place(value: float, limits: tuple[float, float], first: int, end: int) -> int | None:
    share = (value - limits[0]) / (limits[1] - limits[0])
    if not -1e-9 <= share <= 1 + 1e-9:
        return None
    return first + int(0.5 + share * (end - first - 1))


def _spans(characters: Sequence[str], roles: Sequence[str]) -> tuple[Span, ...]:
    spans: list[Span] = []
    start = 0
    for place in range(1, len(roles) + 1):
        if place == len(roles) or roles[place] != roles[start]:
            spans.append(Span("".join(characters[start:place]), roles[start]))
            start = place
    return tuple(spans)
