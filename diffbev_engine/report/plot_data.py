"""The numbers of a plot, kept as text inside its PNG, so that programs can draw it at their own size.

Inside the file, because numbers next to it could be those of another plot: older, or of another folder.
Imports nothing heavy.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.core.png_text import png_text
from diffbev_engine.core.state_file import Count, convert
from diffbev_engine.runs.metrics.smoothing import LIMIT

PNG_KEY = "DiffBEV plot"
"""Of the PNG text."""
LARGEST = 900_000
"""Characters; readers of PNG refuse texts of a MiB."""
_MOST_CHARTS = 64
"""In one figure."""


@dataclass(frozen=True)
class PlotRun:
    """A run in a plot."""

    name: str
    """In the legend."""
    folder: str = ""
    """Its directory, relative to that of the plot; "" where that is not known."""


@dataclass(frozen=True)
class PlotCurve:
    """A column of a run: the range of the line at each place, most often a single value."""

    run: PlotRun
    steps: tuple[float, ...]
    """Iterations, increasing."""
    low: tuple[float, ...]
    high: tuple[float, ...] = ()
    """Empty: the line has one value at each place."""
    spread: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Smallest and largest value behind a smoothed line."""
    best: tuple[float, float] | None = None
    """(iteration, value) of the highest score."""


@dataclass(frozen=True)
class PlotChart:
    """One pair of axes; scores are in points."""

    column: str
    """Of metrics.csv."""
    curves: tuple[PlotCurve, ...]
    steps: tuple[float, float]
    """First and last iteration on the x axis."""
    log_y: bool = False
    windows: tuple[int, ...] = ()
    """Rows over which a line is the running mean, and its spread the 5th to 95th percentile."""
    smoothing: float = 0.0
    """Weight of the past, where a line is an exponential moving average."""


@dataclass(frozen=True)
class PlotBar:
    """The scores of one run, in points; ``None`` for what it was not scored on."""

    run: PlotRun
    step: Count
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Plot:
    """What a plot shows: curves, or scores of classes."""

    runs: tuple[PlotRun, ...]
    """All that are compared, in the order of the legend."""
    charts: tuple[PlotChart, ...] = ()
    classes: tuple[str, ...] = ()
    bars: tuple[PlotBar, ...] = ()


def to_text(plot: Plot) -> str:
    """The plot for :data:`PNG_KEY`; "" for one that is too large to be kept."""
    text = json.dumps(asdict(plot), separators=(",", ":"), allow_nan=False)
    return text if len(text) <= LARGEST else ""


def read_plot(path: Path) -> Plot | None:
    """What the PNG at ``path`` shows; ``None`` for pictures without numbers.

    Raises:
        OSError, ValueError: there is no such PNG, or its numbers are damaged.
    """
    _, text = png_text(path, PNG_KEY)
    if text is None:
        return None
    plot = _parsed(text)
    if plot is None or not _sound(plot):
        raise ValueError(f"{path.name}: the numbers in it are damaged")
    return plot


def _parsed(text: str) -> Plot | None:
    try:
        return convert(json.loads(text), Plot) if len(text) <= LARGEST else None
    except (ValueError, RecursionError):
        return None


def _sound(plot: Plot) -> bool:
    """Whether it can be drawn: numbers that a chart can hold, as many values as places."""
    drawn = {one.run for chart in plot.charts for one in chart.curves} | {bar.run for bar in plot.bars}
    if len(plot.charts) > _MOST_CHARTS or not drawn <= set(plot.runs):
        return False
    for chart in plot.charts:
        if not _drawable(chart.steps):
            return False
        for curve in chart.curves:
            rows = [curve.low, *([curve.high] if curve.high else []), *(curve.spread or ())]
            if any(len(row) != len(curve.steps) or not _drawable(row) for row in (curve.steps, *rows)):
                return False
            if curve.best is not None and not _drawable(curve.best):
                return False
            if any(not chart.steps[0] <= step <= chart.steps[1] for step in curve.steps):
                return False  # to draw a line to far outside takes for ever
    scores = [value for bar in plot.bars for value in bar.values if value is not None]
    return all(0 <= score <= 100 for score in scores) and all(
        len(bar.values) == len(plot.classes) for bar in plot.bars
    )


def _drawable(values: Sequence[float]) -> bool:
    return all(abs(value) <= LIMIT for value in values)  # not so of NaN
