"""Are these labels what they should be?  Files against each other, bits, and class frequencies."""

import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from diffbev_engine.core.classes import CLASS_PRIORS, CLASSES, NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.progress import track
from diffbev_engine.prepare.data_root import DataRoot
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT, read_label

_TOKENS_SHOWN = 3
_VALUES = np.arange(1 << 16, dtype=np.uint32)
_VISIBLE = (_VALUES >> IGNORE_BIT & 1) == 0
_VISIBLE_FOV = (_VALUES >> IGNORE_FOV_BIT & 1) == 0


@dataclass(frozen=True)
class ClassFrequency:
    """How often a class occurs in the cells that PON's mask shows."""

    name: str
    cells: int
    """Visible cells of the class."""
    share: float | None
    """Of the visible cells of all labels that annotate it; None when none does."""
    prior: float
    """The same over the training part of the PON split, as published."""
    labels: int
    """Labels with at least one visible cell of it."""

    @property
    def ratio(self) -> float | None:
        """``share / prior``."""
        return None if self.share is None else self.share / self.prior


@dataclass(frozen=True)
class ValidityReport:
    """What was found in one part of a data root."""

    split: str
    labels: int
    """Label files."""
    read: int
    """Labels that were read and counted."""
    visible: float
    """Share of cells that PON's mask keeps."""
    visible_fov: float
    """Share of cells that the FOV-only mask keeps; about 0.61 for the front camera."""
    classes: tuple[ClassFrequency, ...]
    problems: tuple[str, ...]
    """Things that are wrong, one line each."""
    notes: tuple[str, ...]
    """Things worth knowing."""

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems

    def to_text(self) -> str:
        """A table and the findings, for a terminal."""
        lines = [
            f"{self.split}: {self.labels} labels, {self.read} read; "
            f"visible cells {self.visible:.3f} (mask pon), {self.visible_fov:.3f} (mask fov)",
            f"{'class':<21}{'share':>10}{'published':>11}{'ratio':>8}{'labels':>9}",
        ]
        for each in self.classes:
            share = "unknown" if each.share is None else f"{each.share:.5f}"
            ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
            lines.append(f"{each.name:<21}{share:>10}{each.prior:>11.5f}{ratio:>8}{each.labels:>9}")
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, "labels are valid" if self.ok else "labels are NOT valid"])

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types."""
        content = asdict(self)
        content["classes"] = [{**asdict(each), "ratio": each.ratio} for each in self.classes]
        return {**content, "ok": self.ok}


def check_labels(data_root: Path, split: str, sample: int | None = None, seed: int = 0) -> ValidityReport:
    """Read the labels of a split and hold them against images, registers and published frequencies.

    Args:
        data_root: as written by `prepare`.
        split: ``train`` or ``val``.
        sample: read this many, drawn at random; None reads all (about 2,000 a second).
        seed: of the draw.

    Raises:
        UsageError: there are no labels.
    """
    root = DataRoot(data_root)
    paths = root.labels(split)
    if not paths:
        raise UsageError(f"no labels in {root.label_dir(split)}: run `prepare` first, or name another split")
    tokens = sorted(paths)
    if sample is not None and sample < len(tokens):
        tokens = sorted(random.Random(seed).sample(tokens, sample))
    unlabelled = {entry.token: entry.unlabelled for entry in root.read_index() if entry.split == split}
    counter = LabelCounter()
    for token in track(tokens, total=len(tokens), what=f"checking {split} labels"):
        try:
            counter.add(token, read_label(paths[token]), unlabelled.get(token, ()))
        except DiffBEVError as error:
            counter.damaged.append(str(error))
    classes = counter.classes()
    return ValidityReport(
        split=split,
        labels=len(paths),
        read=counter.read,
        visible=counter.share(_VISIBLE),
        visible_fov=counter.share(_VISIBLE_FOV),
        classes=classes,
        problems=(*counter.problems(), *_file_problems(root, split, set(paths), set(unlabelled))),
        notes=_notes(classes, counter),
    )


class LabelCounter:
    """Counts of label values: one histogram of 65,536 values a set of unlabelled classes."""

    def __init__(self) -> None:
        self.read = 0
        self.damaged: list[str] = []
        self._histograms: dict[tuple[str, ...], np.ndarray] = {}
        self._labels_with = np.zeros(NUM_CLASSES, np.int64)
        self._zero: list[str] = []
        self._all_ignored: list[str] = []
        self._contradictory: list[str] = []

    def add(self, token: str, label: np.ndarray, unlabelled: tuple[str, ...]) -> None:
        """Count one (rows, cols) uint16 label."""
        histogram = np.bincount(label.ravel(), minlength=1 << 16)
        self._histograms[unlabelled] = self._histograms.get(unlabelled, 0) + histogram
        self.read += 1
        there = np.flatnonzero(histogram)
        visible = there[_VISIBLE[there]]
        present = np.bitwise_or.reduce(visible, initial=0) >> np.arange(NUM_CLASSES) & 1
        self._labels_with += present
        if not there.any():
            self._zero.append(token)
        if not len(visible):
            self._all_ignored.append(token)
        if (_VISIBLE[there] & ~_VISIBLE_FOV[there]).any():
            self._contradictory.append(token)

    def classes(self) -> tuple[ClassFrequency, ...]:
        """How often each class occurs."""
        found = []
        for plane, name in enumerate(CLASSES):
            histograms = [h for unlabelled, h in self._histograms.items() if name not in unlabelled]
            visible = np.sum(histograms, axis=0, initial=0) * _VISIBLE if histograms else np.zeros(1)
            cells = int(visible[(_VALUES >> plane & 1).astype(bool)].sum()) if histograms else 0
            share = cells / visible.sum() if visible.any() else None
            count = int(self._labels_with[plane])
            found.append(ClassFrequency(name, cells, share, CLASS_PRIORS[plane], count))
        return tuple(found)

    def share(self, wanted: np.ndarray) -> float:
        """Share of all cells whose value is ``wanted``, a mask over the 65,536 values."""
        cells = sum(int(h.sum()) for h in self._histograms.values())
        return sum(int(h[wanted].sum()) for h in self._histograms.values()) / cells if cells else 0.0

    def visible_share(self) -> float:
        """Share of cells that PON's mask keeps."""
        return self.share(_VISIBLE)

    def problems(self) -> list[str]:
        """What no label should be, one line each."""
        problems = list(self.damaged)
        if self._zero:
            problems.append(f"labels without any bit set, not even ignore: {_some(self._zero)}")
        if self._all_ignored:
            problems.append(f"labels without a visible cell: {_some(self._all_ignored)}")
        if self._contradictory:
            problems.append(
                "labels that show cells outside the camera's view (bit 15 set, bit 14 not): "
                f"{_some(self._contradictory)}"
            )
        return problems


def _file_problems(root: DataRoot, split: str, labels: set[str], indexed: set[str]) -> list[str]:
    images = set(root.images(split))
    calib = set(root.read_calib())
    lacking = {
        "labels without an image": labels - images,
        "images without a label": images - labels,
        f"labels without intrinsics in {root.calib_path.name}": labels - calib,
        f"labels missing from {root.index_path.name}": (labels & images) - indexed,
        f"entries of {root.index_path.name} without label or image": indexed - (labels & images),
    }
    return [f"{what}: {_some(tokens)}" for what, tokens in lacking.items() if tokens]


def _notes(classes: Iterable[ClassFrequency], counter: LabelCounter) -> tuple[str, ...]:
    notes = []
    if counter.read and counter.share(_VISIBLE_FOV) == 1.0:
        notes.append(
            "bit 15 is never set (labels made by another tool), so mask=fov would also score cells "
            "outside the field of view"
        )
    unknown = [each.name for each in classes if each.share is None]
    if unknown:
        notes.append(f"not annotated in any label, so not scored: {', '.join(unknown)}")
    off = [each.name for each in classes if each.ratio is not None and not 0.5 <= each.ratio <= 2]
    if off:
        notes.append(
            f"share differs from the published one by more than 2x (normal for few scenes or other "
            f"cameras): {', '.join(off)}"
        )
    return tuple(notes)


def _some(tokens: Iterable[str]) -> str:
    ordered = sorted(tokens)
    shown = ", ".join(ordered[:_TOKENS_SHOWN])
    return f"{len(ordered)} ({shown}{', …' if len(ordered) > _TOKENS_SHOWN else ''})"
