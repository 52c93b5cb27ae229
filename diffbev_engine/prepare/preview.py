"""Coloured pictures of labels next to their camera image, to see at a glance whether they fit."""

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffbev_engine.core.bev_plot import FAINT, INK, draw_bev, draw_legend
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import atomic_path, make_writable_dir
from diffbev_engine.prepare.data_root import DataRoot, IndexEntry
from diffbev_engine.prepare.encoding import DecodedLabel, decode_label, read_label
from diffbev_engine.prepare.image_file import read_image

_IMAGE_WIDTH = 900


def preview_labels(
    data_root: Path,
    split: str,
    out_dir: Path,
    count: int = 20,
    tokens: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write ``<token>.png`` pictures: camera, label under PON's mask, label under the FOV-only mask.

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
        written.append(_save(figure, out_dir / f"{token}.png"))
    return written


def _save(figure: Figure, path: Path) -> Path:
    try:
        with atomic_path(path) as temporary:
            FigureCanvasAgg(figure).print_png(temporary)
    except OSError as error:
        raise DiffBEVError(f"cannot write the preview {path}: {error.strerror or error}") from error
    return path


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
    image = read_image(path)
    height = max(1, round(image.shape[0] * _IMAGE_WIDTH / image.shape[1]))
    small = cv2.resize(image, (_IMAGE_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def _draw(image: np.ndarray, label: DecodedLabel, token: str, entry: IndexEntry | None) -> Figure:
    figure = Figure(figsize=(14.4, 5.0), dpi=100, facecolor="white")
    camera, pon, fov = figure.subplots(1, 3, width_ratios=(1.78, 1.02, 1.02))
    figure.subplots_adjust(left=0.012, right=0.99, top=0.85, bottom=0.18, wspace=0.08)
    where = f"{entry.camera}   {entry.scene}   {entry.location}" if entry else "not in index.jsonl"
    figure.text(0.012, 0.945, where, fontsize=12, fontweight="bold", color=INK)
    figure.text(0.99, 0.945, token, fontsize=9, color=FAINT, ha="right", family="monospace")
    camera.imshow(image)
    camera.set_axis_off()
    camera.set_title("camera", fontsize=10, color=INK)
    for axes, mask, valid in ((pon, "pon", label.valid), (fov, "fov", label.valid_fov)):
        draw_bev(axes, label.classes, ~valid, f"label, mask {mask}: {valid.mean():.0%} visible")
    fov.set_yticklabels([])
    present = (label.classes & label.valid_fov).any(axis=(1, 2))
    draw_legend(figure, present, entry.unlabelled if entry else ())
    return figure
