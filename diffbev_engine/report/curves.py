"""Curves over training steps, one line per run: losses, learning rate, mIoU."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffbev_engine.report.experiment import Experiment
from diffbev_engine.report.smoothing import smooth
from diffbev_engine.report.style import GREY, RunStyle, label_steps, new_figure, run_style, use_log_axis

_TITLES = {
    "loss": "Training loss (weighted sum)",
    "Lwce": "Segmentation loss Lwce",
    "Ldepth": "Depth loss Ldepth (unweighted)",
    "Ldiff": "Diffusion loss Ldiff (unweighted)",
}
_LOG_FROM_RATIO = 10.0
"""Values that span more than this factor are drawn on a logarithmic axis."""
_MARKS = 9
"""Markers on a curve of many points; one of up to a third more gets a marker at each."""


def draw_loss(runs: Sequence[Experiment], column: str) -> Figure:
    """A loss of all runs: the running mean in its band of raw values."""
    figure, axes = new_figure()
    windows, extremes = set(), []

    def draw(run: Experiment, style: RunStyle, number: int) -> None:
        curve = smooth(run.metrics.series(column))
        _line(axes, curve.steps, curve.mean, style, number, run.name)
        if curve.window > 1:
            alpha = 0.18 if len(runs) <= 3 else 0.09
            axes.fill_between(
                curve.steps, curve.low, curve.high, color=style.colour, alpha=alpha, linewidth=0
            )
        windows.add(curve.window)
        extremes.extend([*curve.mean, *np.atleast_1d(curve.low.min())])

    drawn = _draw_runs(axes, runs, column, draw)
    axes.set_title(_TITLES[column], loc="left")
    axes.set_ylabel(column)
    if drawn and min(extremes) > 0 and max(extremes) / min(extremes) > _LOG_FROM_RATIO:
        use_log_axis(axes)
    elif drawn:
        _show_from(axes, min(0.0, *extremes))
    if windows - {1}:
        rows = " / ".join(f"{window}" for window in sorted(windows))
        _footnote(
            figure, f"Line: running mean over {rows} logged rows. Band: 5th to 95th percentile of them."
        )
    return figure


def draw_learning_rate(runs: Sequence[Experiment]) -> Figure:
    """The learning rate of all runs; logarithmic only when runs differ too much to share an axis."""
    figure, axes = new_figure()
    peaks = []

    def draw(run: Experiment, style: RunStyle, number: int) -> None:
        series = run.metrics.series("lr")
        _line(axes, np.array(series.steps), np.array(series.values), style, number, run.name)
        peaks.append(max(series.values))

    drawn = _draw_runs(axes, runs, "lr", draw)
    axes.set_title("Learning rate", loc="left")
    axes.set_ylabel("learning rate")
    if drawn and min(peaks) > 0 and max(peaks) / min(peaks) > _LOG_FROM_RATIO:
        use_log_axis(axes)
    elif drawn:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
        _show_from(axes, 0.0)
    return figure


def draw_miou(runs: Sequence[Experiment]) -> Figure:
    """MIoU at every evaluation, the best of each run ringed and written in the legend."""
    figure, axes = new_figure()

    def draw(run: Experiment, style: RunStyle, number: int) -> None:
        series = run.metrics.series("mIoU")
        assert run.best is not None, "a run with mIoU has a best one"
        best = 100 * run.best.values["mIoU"]
        label = f"{run.name}: best {best:.2f} at step {run.best.step:,}"
        _line(axes, np.array(series.steps), 100 * np.array(series.values), style, number, label)
        axes.plot(
            [run.best.step],
            [best],
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=style.colour,
            markeredgewidth=1.3,
            label="_best",
            clip_on=False,
        )

    drawn = _draw_runs(axes, runs, "mIoU", draw, "not evaluated yet")
    axes.set_title("Mean IoU on the validation split", loc="left")
    axes.set_ylabel("mIoU (%)")
    if drawn:
        _show_from(axes, 0.0)
    return figure


def _draw_runs(
    axes: Axes,
    runs: Sequence[Experiment],
    column: str,
    draw: Callable[[Experiment, RunStyle, int], None],
    absence: str = "not logged by this run",
) -> bool:
    """Draw every run that has ``column`` and name those that have not; whether any has it."""
    missing = []
    for number, run in enumerate(runs):
        if len(run.metrics.series(column)):
            draw(run, run_style(number), number)
        else:
            missing.append(f"{run.name}: {absence}")
    if len(missing) == len(runs):
        axes.set_axis_off()
        text = f"{column}: {absence.replace('this run', 'any of these runs')}"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
        return False
    label_steps(axes, max(run.metrics.last_step for run in runs))
    handles = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    handles += [Line2D([], [], linestyle="none", label=text) for text in missing]
    legend = axes.legend(handles=handles, loc="best", handlelength=3.2)
    for entry in legend.get_texts()[len(handles) - len(missing) :]:
        entry.set(color=GREY, style="italic")
    return True


def _line(
    axes: Axes, steps: np.ndarray, values: np.ndarray, style: RunStyle, number: int, label: str
) -> None:
    """One curve; long ones get a few markers, shifted from run to run so that none hides another."""
    spacing = max(1, len(steps) // _MARKS) if 3 * len(steps) > 4 * _MARKS else 1
    axes.plot(
        steps,
        values,
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        markevery=(number * spacing // 3 % spacing, spacing),
        label=label,
    )


def _show_from(axes: Axes, bottom: float) -> None:
    """Begin the vertical axis at ``bottom`` and leave room for markers at its top."""
    top = axes.get_ylim()[1]
    axes.set_ylim(bottom, top + 0.06 * (top - bottom))


def _footnote(figure: Figure, text: str) -> None:
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=GREY)
