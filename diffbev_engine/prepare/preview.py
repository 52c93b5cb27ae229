"""Coloured pictures of labels beside their camera image, to see at a glance whether they fit."""

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from diffbev_engine.classes import CLASS_COLOURS, CLASSES, IGNORE_COLOUR
from diffbev_engine.errors import DiffBEVError, UsageError
from diffbev_engine.files import atomic_path, make_writable_dir
from diffbev_engine.grid import LABEL_GRID
from diffbev_engine.prepare.colour import colourise
from diffbev_engine.prepare.data_root import DataRoot, IndexEntry
from diffbev_engine.prepare.encoding import DecodedLabel, decode_label, read_label

_IMAGE_WIDTH = 900
_EXTENT = (LABEL_GRID.x_min, LABEL_GRID.x_max, LABEL_GRID.z_min, LABEL_GRID.z_max)
_INK, _FAINT = "#202020", "#9a9a9a"


def preview_labels(
    data_root: Path,
    split: str,
    out_dir: Path,
    count: int = 20,
    tokens: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write ``<token>.png`` previews: camera, label under PON's mask, label under the FOV-only mask.

    Args:
        data_root: as written by `prepare`.
        split: ``train`` or ``val``.
        out_dir: created if needed.
        count: how many, drawn at random.
        tokens: these instead of a random choice.
        seed: of the choice.

    Raises:
        UsageError: no labels there, or a token without a label.
        DiffBEVError: a damaged label or image, or ``out_dir`` cannot be written.
    """
    root = DataRoot(data_root)
    labels, images = root.labels(split), root.images(split)
    index = {entry.token: entry for entry in root.read_index()}
    chosen = _choose(root, split, sorted(labels), count, tokens, seed)
    make_writable_dir(out_dir, "preview folder")
    written = []
    for token in chosen:
        if token not in images:
            raise DiffBEVError(f"no image of {token} in {root.image_dir(split)}: run `prepare` again")
        label = decode_label(read_label(labels[token]))
        figure = _draw(_read_image(images[token]), label, token, index.get(token))
        path = out_dir / f"{token}.png"
        try:
            with atomic_path(path) as temporary:
                FigureCanvasAgg(figure).print_png(temporary)
        except OSError as error:
            raise DiffBEVError(f"cannot write the preview {path}: {error.strerror or error}") from error
        written.append(path)
    return written


def _choose(
    root: DataRoot, split: str, labels: list[str], count: int, tokens: Sequence[str] | None, seed: int
) -> list[str]:
    if not labels:
        raise UsageError(f"no labels in {root.label_dir(split)}: run `prepare` first, or name another split")
    if tokens is None:
        return sorted(random.Random(seed).sample(labels, min(count, len(labels))))
    unknown = sorted(set(tokens) - set(labels))
    if unknown:
        raise UsageError(f"no label in {root.label_dir(split)} for {', '.join(unknown)}")
    return list(tokens)


def _read_image(path: Path) -> np.ndarray:
    """(height, width, 3) uint8 RGB, at most 900 pixels wide."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DiffBEVError(f"the image {path} is damaged: delete it and run `prepare` again")
    height = round(image.shape[0] * _IMAGE_WIDTH / image.shape[1])
    small = cv2.resize(image, (_IMAGE_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def _draw(image: np.ndarray, label: DecodedLabel, token: str, entry: IndexEntry | None) -> Figure:
    figure = Figure(figsize=(14.4, 5.0), dpi=100, facecolor="white")
    camera, pon, fov = figure.subplots(1, 3, width_ratios=(1.78, 1.02, 1.02))
    figure.subplots_adjust(left=0.012, right=0.99, top=0.85, bottom=0.18, wspace=0.08)
    where = f"{entry.camera}   {entry.scene}   {entry.location}" if entry else "not in index.jsonl"
    figure.text(0.012, 0.945, where, fontsize=12, fontweight="bold", color=_INK)
    figure.text(0.99, 0.945, token, fontsize=9, color=_FAINT, ha="right", family="monospace")
    camera.imshow(image)
    camera.set_axis_off()
    camera.set_title("camera", fontsize=10, color=_INK)
    _draw_bev(pon, label.classes, ~label.valid, "label, mask pon")
    _draw_bev(fov, label.classes, ~label.valid_fov, "label, mask fov")
    fov.set_yticklabels([])
    _draw_legend(figure, label, entry.unlabelled if entry else ())
    return figure


def _draw_bev(axes: Axes, classes: np.ndarray, ignore: np.ndarray, title: str) -> None:
    # Nearest row of the grid at the bottom, where the camera is; axes in metres.
    axes.imshow(colourise(classes, ignore), origin="lower", extent=_EXTENT, interpolation="nearest")
    axes.set_title(f"{title}: {100 * (1 - ignore.mean()):.0f} % visible", fontsize=10, color=_INK)
    axes.set_xticks([-20, -10, 0, 10, 20])
    axes.set_yticks([1, 10, 20, 30, 40, 50])
    axes.tick_params(labelsize=8, colors=_FAINT, length=2)
    for spine in axes.spines.values():
        spine.set_color(_FAINT)


def _draw_legend(figure: Figure, label: DecodedLabel, unlabelled: Sequence[str]) -> None:
    """All classes, always in the same place; those in this picture are written dark."""
    present = (label.classes & label.valid_fov).any(axis=(1, 2))
    patches = [Patch(facecolor=colour, edgecolor=_FAINT, linewidth=0.5) for colour in CLASS_COLOURS]
    names = [f"{name} (not annotated)" if name in unlabelled else name for name in CLASSES]
    patches.append(Patch(facecolor=IGNORE_COLOUR))
    legend = figure.legend(
        patches, [*names, "ignored"], loc="lower center", ncols=8, frameon=False, fontsize=9, handlelength=1.4
    )
    for text, here in zip(legend.get_texts(), [*present, True], strict=True):
        text.set_color(_INK if here else _FAINT)
