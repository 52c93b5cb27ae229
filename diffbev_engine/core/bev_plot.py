"""Bird's-eye views in matplotlib, drawn alike in previews and reports."""

from collections.abc import Collection
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from diffbev_engine.core.bev_colors import colourise
from diffbev_engine.core.classes import CLASS_COLOURS, CLASSES, IGNORE_COLOUR
from diffbev_engine.core.grid import LABEL_GRID

INK, FAINT = "#202020", "#9a9a9a"
_EXTENT = (LABEL_GRID.x_min, LABEL_GRID.x_max, LABEL_GRID.z_min, LABEL_GRID.z_max)


def draw_bev(axes: Axes, classes: np.ndarray, ignore: np.ndarray, title: str) -> None:
    """Draw class planes (14, rows, cols) and what is ignored (rows, cols), the camera at the bottom."""
    axes.imshow(colourise(classes, ignore), origin="lower", extent=_EXTENT, interpolation="nearest")
    _frame(axes, title)


def draw_spread(axes: Axes, spread: np.ndarray, ignore: np.ndarray, title: str) -> None:
    """Draw a standard deviation of probabilities (rows, cols): dark is 0, bright is its limit, one half."""
    axes.imshow(
        np.ma.masked_array(spread, ignore),
        cmap="viridis",
        norm=PowerNorm(0.5, 0.0, 0.5),  # small differences show
        origin="lower",
        extent=_EXTENT,
        interpolation="nearest",
    )
    axes.set_facecolor(IGNORE_COLOUR)
    _frame(axes, title)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xticks([-20, -10, 0, 10, 20])
    axes.set_yticks([1, 10, 20, 30, 40, 50])
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def draw_legend(
    figure: Figure,
    present: np.ndarray,
    unlabelled: Collection[str],
    *,
    loc: Literal["lower center", "outside lower center"] = "lower center",
) -> None:
    """All classes, always in the same order; those that are ``present`` (14,) bool are written dark."""
    patches = [Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5) for colour in CLASS_COLOURS]
    names = [f"{name} (not annotated)" if name in unlabelled else name for name in CLASSES]
    patches.append(Patch(facecolor=IGNORE_COLOUR))
    legend = figure.legend(
        patches, [*names, "ignored"], loc=loc, ncols=8, frameon=False, fontsize=9, handlelength=1.4
    )
    for text, here in zip(legend.get_texts(), [*present, True], strict=True):
        text.set_color(INK if here else FAINT)
