"""IoU of every class at the best step of every run: bars for few runs, dots for many."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.report.experiment import Experiment
from diffbev_engine.report.style import GREY, INK, RunStyle, new_figure, run_style

_MOST_BARS = 3
"""With more runs than this the bars would not fit a page; dots share one line per class."""
_ROWS = (*CLASSES, "mIoU")
_GAP_INCHES, _BAR_INCHES, _DOT_INCHES = 0.1, 0.155, 0.27
_FRAME_INCHES = 1.2


def draw_class_iou(runs: Sequence[Experiment]) -> Figure:
    """IoU in percent, a line or group a class from the top, and the mean below them."""
    evaluated = [(run_style(number), run) for number, run in enumerate(runs) if run.best is not None]
    bars = len(evaluated) <= _MOST_BARS
    inches = _GAP_INCHES + _BAR_INCHES * len(evaluated) if bars else _DOT_INCHES
    figure, axes = new_figure(height=_FRAME_INCHES + len(_ROWS) * inches if evaluated else 3.5)
    axes.set_title("IoU by class at the best step of each run", loc="left")
    if not evaluated:
        axes.set_axis_off()
        text = "class IoU: not evaluated yet by any of these runs"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
        return figure
    if bars:
        _draw_bars(axes, evaluated, _BAR_INCHES / inches)
    else:
        _draw_dots(axes, evaluated)
    _label(axes, [run for _, run in evaluated])
    missing = "\n".join(f"{run.name}: not evaluated yet" for run in runs if run.best is None)
    columns = min(3, len(evaluated))
    figure.legend(loc="outside lower center", ncols=columns, title=missing or None, title_fontsize=8)
    return figure


def _draw_bars(axes: Axes, runs: Sequence[tuple[RunStyle, Experiment]], thickness: float) -> None:
    for place, (style, run) in enumerate(runs):
        values = _percents(run)
        bars = axes.barh(
            np.arange(len(_ROWS)) + (place - (len(runs) - 1) / 2) * thickness,
            np.nan_to_num(values),
            height=thickness * 0.92,
            color=style.colour,
            edgecolor="white",
            hatch=style.hatch,
            linewidth=0.4,
            label=_legend(run),
        )
        texts = ["–" if np.isnan(value) else f"{value:.1f}" for value in values]
        axes.bar_label(bars, texts, padding=2, fontsize=7, color=INK)
    axes.set_xlim(0, max(1.0, axes.get_xlim()[1] * 1.06))
    axes.grid(visible=False, axis="y")


def _draw_dots(axes: Axes, runs: Sequence[tuple[RunStyle, Experiment]]) -> None:
    for style, run in runs:
        axes.plot(
            _percents(run),
            np.arange(len(_ROWS)),
            linestyle="none",
            marker=style.marker,
            markersize=5.5,
            color=style.colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=_legend(run),
            clip_on=False,
            zorder=3,
        )
    axes.set_xlim(0, max(1.0, axes.get_xlim()[1]))


def _label(axes: Axes, runs: Sequence[Experiment]) -> None:
    absent = [sum(run.best_iou(name) is None for run in runs) for name in CLASSES]
    axes.set_yticks(range(len(_ROWS)), [name.replace("_", " ") for name in _ROWS])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    for label, count in zip(axes.get_yticklabels(), absent, strict=False):
        label.set_color(GREY if count == len(runs) else INK)
    axes.set_ylim(len(_ROWS) - 0.45, -0.55)  # the first class at the top
    axes.axhline(len(CLASSES) - 0.5, color=GREY, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    nothing = "– or grey: the class is not in the labels" if any(absent) else ""
    axes.set_xlabel(f"IoU (%)     {nothing}".strip())


def _percents(run: Experiment) -> np.ndarray:
    values = [*(run.best_iou(name) for name in CLASSES), run.best_miou]
    return np.array([np.nan if value is None else 100 * value for value in values])


def _legend(run: Experiment) -> str:
    assert run.best is not None, "only evaluated runs are drawn"
    return f"{run.name} (step {run.best.step:,})"
