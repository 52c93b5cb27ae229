"""A noisy curve as its running mean and the band that the raw values fill."""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.runs.metrics.table import Series

_SHARE = 40
"""A window is this part of the run."""
_POINTS = 300
"""At most this many points a curve, which keeps vector files small."""
_PERCENTILES = (5, 95)


@dataclass(frozen=True)
class Smoothed:
    """A curve with its spread, all (N,)."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    """5th percentile of the raw values in the window."""
    high: np.ndarray
    """95th percentile of the raw values in the window."""
    window: int
    """Rows in a window; with 1 the curve is the raw values themselves."""


def smooth(series: Series) -> Smoothed:
    """Centred running mean and 5th to 95th percentile of a non-empty ``series``.

    The window is a fortieth of the rows, so a short run is shown as it is; at both ends of the
    run the window holds what there is of it.
    """
    steps = np.asarray(series.steps, np.float64)
    values = np.asarray(series.values, np.float64)
    half = len(values) // _SHARE // 2
    centres = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(int))
    windows = [values[max(0, centre - half) : centre + half + 1] for centre in centres]
    low, high = np.array([np.percentile(window, _PERCENTILES) for window in windows]).T
    mean = np.array([window.mean() for window in windows])
    return Smoothed(steps[centres], mean, low, high, 2 * half + 1)
