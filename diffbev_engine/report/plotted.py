"""What the figures of a comparison show, as the numbers that their PNG files keep."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.report.experiment import Experiment
from diffbev_engine.report.plot_data import Plot, PlotBar, PlotChart, PlotCurve, PlotRun
from diffbev_engine.report.smoothing import smooth
from diffbev_engine.runs.metrics.smoothing import clamped
from diffbev_engine.runs.metrics.table import is_loss, is_score

_PLACES = 300
"""Of a curve, at most; a terminal has fewer columns."""
_DIGITS = 6


def column_plot(runs: Sequence[Experiment], column: str, plots: Path, *, log_y: bool) -> Plot:
    """A column of all runs: losses as running means, everything else as it was logged.

    Args:
        runs: all of the figure.
        column: of ``metrics.csv``.
        plots: the directory of the figure.
        log_y: whether it has a logarithmic axis.
    """
    names = [plot_run(run.name, run.folder.path, plots) for run in runs]
    curves, windows = [], set()
    for run, name in zip(runs, names, strict=True):
        series = run.metrics.series(column)
        if not len(series):
            continue
        if is_loss(column):
            mean = smooth(series)
            windows.add(mean.window)
            spread = (_rounded(mean.low), _rounded(mean.high)) if mean.window > 1 else None
            curves.append(PlotCurve(name, tuple(mean.steps.tolist()), _rounded(mean.mean), spread=spread))
        else:
            curves.append(reduced(name, series.steps, _in_points(column, series.values), column))
    last = max((run.metrics.last_step for run in runs if len(run.metrics.series(column))), default=0)
    shown = tuple(sorted(windows - {1}))
    return Plot(tuple(names), (PlotChart(column, tuple(curves), (0.0, float(last)), log_y, shown),))


def class_plot(runs: Sequence[Experiment], plots: Path) -> Plot:
    """IoU of each class, and their mean, at the best step of each run."""
    names = [plot_run(run.name, run.folder.path, plots) for run in runs]
    bars = []
    for run, name in zip(runs, names, strict=True):
        if run.best is not None:
            values = (*(run.best_iou(one) for one in CLASSES), run.best_miou)
            points = tuple(None if value is None else _round(100 * value) for value in values)
            bars.append(PlotBar(name, run.best.step, points))
    return Plot(tuple(names), classes=(*CLASSES, "mIoU"), bars=tuple(bars))


def plot_run(name: str, folder: Path, plots: Path) -> PlotRun:
    """A run under its name; the way to it stays right when both are moved together."""
    return PlotRun(name, os.path.relpath(folder.resolve(), plots.resolve()))


def reduced(
    run: PlotRun,
    steps: Sequence[int],
    values: Sequence[float],
    column: str,
    smoothed: Sequence[float] | None = None,
) -> PlotCurve:
    """A curve in few places, where no spike is lost: each keeps the range of its rows.

    Args:
        run: whose it is.
        steps: at least one.
        values: as logged, as many.
        column: which they are of; scores have a best one.
        smoothed: the line, where it is not ``values`` themselves.
    """
    first = np.unique(np.linspace(0, len(steps), min(_PLACES, len(steps)), endpoint=False).astype(int))
    low, high = _ranges(values if smoothed is None else smoothed, first)
    best = None
    if is_score(column):
        row = int(np.argmax(np.asarray(values)))
        best = (float(steps[row]), _round(values[row]))
    return PlotCurve(
        run,
        tuple(float(steps[row]) for row in first),
        low,
        () if low == high else high,
        None if smoothed is None else _ranges(values, first),
        best,
    )


def _ranges(values: Sequence[float], first: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Smallest and largest of the values from each of ``first`` to the next."""
    array = np.asarray(values, np.float64)
    return _rounded(np.minimum.reduceat(array, first)), _rounded(np.maximum.reduceat(array, first))


def _in_points(column: str, values: Sequence[float]) -> Sequence[float]:
    return [100 * value for value in values] if is_score(column) else values


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(_round, values.tolist()))


def _round(value: float) -> float:
    return float(f"{clamped(float(value)):.{_DIGITS}g}")
