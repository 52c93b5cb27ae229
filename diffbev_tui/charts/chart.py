"""A chart as rows of characters: plotext draws axes and curves, the marks are put on top.

The figure holds ASCII, braille and box characters only: plotext 5.3.2 misplaces wide ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffbev_tui.charts.series import Band, value_range
from diffbev_tui.charts.ticks import axis_labels, linear_ticks, log_label, log_ticks, step_label

LETTERS = "ABCDEF"
"""One per run: what colour tells, a letter tells too."""
SMALLEST = (16, 5)
_LETTER_EVERY = 12
"""Columns between the letters along a curve, where colours cannot tell curves apart."""

AXIS, CURSOR, RESUME, BAD = "axis", "cursor", "resume", "bad"
_ROLES = (AXIS, *LETTERS, *(letter.lower() for letter in LETTERS))
"""What a cell shows; lower-case letters are the bands.  plotext takes their places for colour numbers."""


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
    bad: Sequence[int] = ()
    """Steps of NaN or infinity."""
    resumes: Sequence[int] = ()


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


@dataclass(frozen=True)
class ChartFigure:
    """A figure, ready to be coloured."""

    rows: tuple[tuple[Span, ...], ...]
    size: tuple[int, int]
    window: tuple[float, float] = (0.0, 1.0)
    canvas: tuple[int, int] = (0, 1)
    """First column of the drawing area, and one past its last."""
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
    low, high = value_range([band for line in spec.lines for band in (line.curve, line.raw) if band])
    monitor = _plot(spec, (left, right), (low, high))
    grid = _Grid(monitor, (left, right), (low, high))
    grid.mark(spec)
    return ChartFigure(grid.rows(), spec.size, (left, right), (grid.left, grid.right))


def _plot(spec: ChartSpec, x: tuple[float, float], y: tuple[float, float]) -> Any:
    """Axes and curves, by plotext; its monitor holds the characters afterwards."""
    from plotext._figure import _figure_class

    figure = _figure_class()
    figure._limit_size(False, False)
    width, height = spec.size
    figure.plot_size(width, height)
    figure.ticks_color(_ROLES.index(AXIS))
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    figure.xlim(*x)
    figure.ylim(*y)
    y_ticks = (log_ticks if spec.log_y else linear_ticks)(*y, max(2, height // 3))
    figure.yticks(y_ticks, [log_label(tick) for tick in y_ticks] if spec.log_y else axis_labels(y_ticks))
    x_ticks = linear_ticks(*x, max(2, width // 12))
    figure.xticks(x_ticks, [step_label(tick) for tick in x_ticks])
    # A point that is always there, out of sight: plotext draws no axes without data.
    figure.scatter([x[0] - 10 * (x[1] - x[0])], [y[0]], marker="braille", color=0)
    for line in spec.lines:
        if line.raw:
            figure.plot(*line.raw.line(), marker="braille", color=_ROLES.index(line.letter.lower()))
    for line in spec.lines:
        if len(line.curve):
            figure.plot(*line.curve.line(), marker="braille", color=_ROLES.index(line.letter))
    figure._set_sizes()
    figure._build_matrix()  # without the last step, which writes it all as ANSI text
    return figure.monitor


class _Grid:
    """The characters that plotext has put down, the lowest row first, and the marks over them."""

    def __init__(self, monitor: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
        matrix = monitor.matrix
        self._characters: list[list[str]] = matrix.marker
        self._roles: list[list[str]] = [
            [_ROLES[colour] if isinstance(colour, int) else "" for colour in row] for row in matrix.fullground
        ]
        self.left, self.right = matrix.Cols_canvas.start, matrix.Cols_canvas.stop
        self._bottom, self._top = matrix.Rows_canvas.start, matrix.Rows_canvas.stop
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
            if spec.letters_along:
                self._letters_along(line)
            if line.best is not None:
                self._put(self._column(line.best[0]), self._row(line.best[1]), "*", line.letter)
        self._letters_at_the_ends(spec.lines)

    def _letters_along(self, line: ChartLine) -> None:
        role = line.letter
        first = self.left + 3 + 2 * LETTERS.index(line.letter)
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
            row = self._row((line.curve.low[-1] + line.curve.high[-1]) / 2)
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
            if self._characters[row][column] == " " or (over_bands and at.islower() and len(at) == 1):
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
