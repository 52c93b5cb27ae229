"""Figure for one sample: camera image, ground truth, predictions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diffbev_engine.core.bev_plot import FAINT, INK, draw_bev, draw_spread
from diffbev_engine.core.classes import CLASS_COLOURS, CLASSES, IGNORE_COLOUR
from diffbev_engine.core.files import atomic_path
from diffbev_engine.core.format import UNKNOWN, points
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.evaluate.result import MASK_NAMES, MaskResult
from diffbev_engine.prepare.image_file import read_image
from diffbev_engine.report.style import paper_style

_HEIGHT, _CAMERA_WIDTH, _BEV_WIDTH = 4.0, 5.6, 3.5
_TABLE_WIDTH, _COLUMN_WIDTH = 1.9, 0.75
_DPI = 130
METADATA = "DiffBEV"
"""Key of the PNG text that states what a picture shows and where, for programs that show it in parts."""


@dataclass(frozen=True)
class Panel:
    """What one model says."""

    name: str
    predicted: np.ndarray
    """(14, Z, X) bool."""
    score: MaskResult
    """Of this sample alone."""
    checkpoint: Path
    """Of the model."""
    iteration: int
    """How long it had been trained."""
    spread: np.ndarray | None = None
    """(Z, X) standard deviation of the probability over samples, of the class where it is largest."""
    samples: int = 1
    """How many maps were averaged."""

    @property
    def title(self) -> str:
        """Name and mean IoU over the classes that this sample shows."""
        if not self.score.averaged_classes:
            return f"{self.name}\nnothing to score in view"
        return f"{self.name}\nmIoU {points(self.score.miou)} over {self.score.averaged_classes} classes"

    @property
    def spread_title(self) -> str:
        """What the map of the spread shows."""
        return f"{self.name}: spread of {self.samples} samples\nlargest over classes, 0 (dark) to 0.5"


@dataclass(frozen=True)
class SamplePicture:
    """Everything that one picture shows."""

    record: SampleRecord
    index: int
    label: np.ndarray
    """(14, Z, X) bool."""
    ignore: np.ndarray
    """(Z, X) bool, cells that do not count."""
    mask: str
    """Which ignore mask it is."""
    panels: Sequence[Panel]


def save_picture(picture: SamplePicture, path: Path) -> None:
    """Write the picture as a PNG."""
    with paper_style():
        figure = draw_picture(picture)
        figure.draw_without_rendering()  # places the panels
        about = json.dumps(_about(picture, figure.axes))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={METADATA: about})


def _about(picture: SamplePicture, axes: Sequence[Axes]) -> dict[str, Any]:
    """What the picture shows; boxes are left, top, right, bottom as shares of its width and height."""
    boxes = map(_box, axes)
    camera, truth = next(boxes), next(boxes)
    return {
        "index": picture.index,
        "token": picture.record.token,
        "camera": picture.record.camera,
        "scene": picture.record.scene,
        "mask": picture.mask,
        "camera_box": camera,
        "truth_box": truth,
        "predictions": [
            {
                "name": panel.name,
                "checkpoint": str(panel.checkpoint.absolute()),
                "iteration": panel.iteration,
                "mIoU": panel.score.miou if panel.score.averaged_classes else None,
                "classes": panel.score.averaged_classes,
                "box": next(boxes),
                **({} if panel.spread is None else {"samples": panel.samples, "spread_box": next(boxes)}),
            }
            for panel in picture.panels
        ],
    }


def _box(axes: Axes) -> list[float]:
    place = axes.get_position()
    return [round(float(edge), 5) for edge in (place.x0, 1 - place.y1, place.x1, 1 - place.y0)]


def draw_picture(picture: SamplePicture) -> Figure:
    """Camera, label and what each model says from left to right, then the legend with the scores."""
    models = len(picture.panels)
    maps = 1 + models + sum(panel.spread is not None for panel in picture.panels)
    widths = [_CAMERA_WIDTH, *[_BEV_WIDTH] * maps, _TABLE_WIDTH + models * _COLUMN_WIDTH]
    figure = Figure(figsize=(sum(widths), _HEIGHT), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    camera, label, *said, table = figure.subplots(1, len(widths), width_ratios=widths)
    camera.imshow(read_image(picture.record.image)[..., ::-1])  # at full resolution
    camera.set_axis_off()
    place = " ".join(word for word in (picture.record.camera, picture.record.scene) if word)
    camera.set_title(f"sample {picture.index}  {place}\n{picture.record.token}", fontsize=10, color=INK)
    draw_bev(label, picture.label, picture.ignore, "ground truth\n")
    label.set_ylabel("distance ahead (m)", fontsize=8, color=INK)
    free = iter(said)
    for panel in picture.panels:
        draw_bev(next(free), panel.predicted, picture.ignore, panel.title)
        if panel.spread is not None:
            draw_spread(next(free), panel.spread, picture.ignore, panel.spread_title)
    for axes in (label, *said):
        axes.grid(visible=False)
    _draw_table(table, picture)
    return figure


def _draw_table(axes: Axes, picture: SamplePicture) -> None:
    """The legend: every class in its colour with its IoU under each model; absent ones are grey."""
    columns = [_TABLE_WIDTH + (number + 0.9) * _COLUMN_WIDTH for number in range(len(picture.panels))]
    axes.set_axis_off()
    axes.set_xlim(0, columns[-1] + 0.1)
    axes.set_ylim(len(CLASSES) + 3.6, -1.6)
    known = picture.record.known
    for row, (name, colour) in enumerate(zip(CLASSES, CLASS_COLOURS, strict=True)):
        scores = [panel.score.counts[row].iou for panel in picture.panels]
        here = any(score is not None for score in scores)
        words = name.replace("_", " ") + ("" if known[row] else " (not annotated)")
        _swatch(axes, row, colour, words, INK if here else FAINT)
        for x, score in zip(columns, scores, strict=True):
            text = points(score)
            axes.text(x, row, text, ha="right", va="center", fontsize=8.5, color=INK if here else FAINT)
    _swatch(axes, len(CLASSES), IGNORE_COLOUR, "ignored", INK)
    end = len(CLASSES) + 1
    axes.plot([0, columns[-1]], [end - 0.45] * 2, color=FAINT, linewidth=0.8)
    axes.text(0.34, end + 0.1, "mean", va="center", fontsize=8.5, color=INK, weight="bold")
    for x, panel in zip(columns, picture.panels, strict=True):
        mean = points(panel.score.miou) if panel.score.averaged_classes else UNKNOWN
        axes.text(x, end + 0.1, mean, ha="right", va="center", fontsize=8.5, color=INK, weight="bold")
        axes.text(x, -1.0, panel.name, ha="right", va="center", fontsize=8.5, color=INK, weight="bold")
    axes.text(0, -1.0, "IoU (%)", va="center", fontsize=8.5, color=INK)
    note = f"this sample alone; white: no class;\nignored: {MASK_NAMES[picture.mask]}"
    axes.text(0, end + 1.0, note, va="top", fontsize=7, color=INK)


def _swatch(axes: Axes, row: int, colour: str, words: str, ink: str) -> None:
    axes.add_patch(Rectangle((0, row - 0.36), 0.24, 0.72, facecolor=colour, edgecolor=FAINT, linewidth=0.5))
    axes.text(0.34, row, words, va="center", fontsize=8.5, color=ink)
