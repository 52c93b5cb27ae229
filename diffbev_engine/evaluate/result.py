"""Evaluation results with the provenance needed to compare them."""

import re
from dataclasses import dataclass
from typing import Any

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.format import percent, points

MASK_NAMES = {
    "pon": "LiDAR occlusion and field of view",
    "fov": "field of view only",
    "unseen": "all but the cells in view that LiDAR does not see",
}


@dataclass(frozen=True)
class ClassCounts:
    """Cells of one class over the whole validation set, under one ignore mask."""

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def truth(self) -> int:
        """Cells that carry the class."""
        return self.true_positive + self.false_negative

    @property
    def predicted(self) -> int:
        """Cells that were predicted positive."""
        return self.true_positive + self.false_positive

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN); ``None`` when no cell carries the class (PON's rule)."""
        if self.truth == 0:
            return None
        return self.true_positive / (self.true_positive + self.false_positive + self.false_negative)


@dataclass(frozen=True)
class MaskResult:
    """Scores under one ignore mask."""

    counts: list[ClassCounts]
    cells: list[int]
    """Scored cells per class."""
    ignored: int
    """Cells that the mask hides."""

    @property
    def miou(self) -> float:
        """Plain mean of the IoU over the classes that occur in the ground truth; 0 when none does."""
        present = [count.iou for count in self.counts if count.iou is not None]
        return sum(present) / len(present) if present else 0.0

    @property
    def averaged_classes(self) -> int:
        """How many classes the mean is taken over."""
        return sum(count.iou is not None for count in self.counts)

    @property
    def iou(self) -> dict[str, float | None]:
        """IoU under each class name."""
        return {name: count.iou for name, count in zip(CLASSES, self.counts, strict=True)}

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "mIoU": self.miou,
            "classes_averaged": self.averaged_classes,
            "IoU": self.iou,
            "share_truth": _shares([count.truth for count in self.counts], self.cells),
            "share_predicted": _shares([count.predicted for count in self.counts], self.cells),
            "counts": {
                name: {"TP": count.true_positive, "FP": count.false_positive, "FN": count.false_negative}
                for name, count in zip(CLASSES, self.counts, strict=True)
            },
        }


@dataclass(frozen=True)
class DepthScores:
    """How well the lift's depth distribution tells depth: its expected value against LiDAR."""

    absolute_relative: float
    """Mean of |estimate - truth| / truth."""
    rmse: float
    """Root of the mean squared error, metres."""
    within_quarter: float
    """Share of features whose estimate and truth differ by less than a factor of 1.25."""
    features: int
    """Features that were compared: those with at least one LiDAR point."""
    images: int
    """Images with at least one such feature."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "abs_rel": self.absolute_relative,
            "rmse_m": self.rmse,
            "delta_1.25": self.within_quarter,
            "features": self.features,
            "images": self.images,
        }

    def to_text(self) -> str:
        """One line for people."""
        return (
            f"abs rel {self.absolute_relative:.4f}, RMSE {self.rmse:.3f} m, "
            f"delta<1.25 {percent(self.within_quarter, 2)} ({self.features:,} features, {self.images} images)"
        )


@dataclass(frozen=True)
class UncertaintyScores:
    """Whether a model knows when it errs; a decision is one class of one cell."""

    ece: float
    """Expected calibration error: mean difference of confidence and share of right decisions."""
    auroc_entropy: float | None
    """Area under the ROC curve of telling wrong decisions by the entropy of their probability."""
    auroc_spread: float | None
    """The same by the spread over samples; ``None`` for a single one."""
    by_class: dict[str, tuple[float | None, float | None]]
    """Both areas for each class alone; ``None`` where all its decisions are right."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "ece": self.ece,
            "auroc_entropy": self.auroc_entropy,
            "auroc_spread": self.auroc_spread,
            "auroc_entropy_by_class": {name: areas[0] for name, areas in self.by_class.items()},
            "auroc_spread_by_class": {name: areas[1] for name, areas in self.by_class.items()},
        }

    def to_text(self) -> str:
        """One line for people."""
        areas = [("entropy", self.auroc_entropy), ("spread over samples", self.auroc_spread)]
        told = [f"by {name} {area:.4f}" for name, area in areas if area is not None]
        return f"ECE {self.ece:.4f}; AUROC of errors {', '.join(told) or '-'}"


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of one model on one split, under every ignore mask the labels carry."""

    masks: dict[str, MaskResult]
    main_mask: str
    samples: int
    images_per_s: float
    """Images a second of the whole evaluation, loading and scoring included, over all processes."""
    provenance: dict[str, Any]
    """Split, cameras, raster and map version of the labels; DDIM steps and noise seed, if any."""
    network_ms: float
    """Milliseconds per image of the network alone, on one device; see ``NetworkClock``."""
    depth: DepthScores | None = None
    """``None`` without depth ground truth."""
    depth_note: str = ""
    """Why there is none."""
    uncertainty: dict[str, UncertaintyScores] | None = None
    """Under every mask, where it was asked for."""

    @property
    def main(self) -> MaskResult:
        """The result under the mask that the settings ask for."""
        return self.masks[self.main_mask]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "mIoU": self.main.miou,
            "mask": self.main_mask,
            "masks": {name: result.to_json() for name, result in self.masks.items()},
            "samples": self.samples,
            "images_per_s": self.images_per_s,
            "network_ms": self.network_ms,
            "depth": self.depth.to_json() if self.depth else None,
            "depth_note": "" if self.depth else self._without_depth,
            **self._uncertainty_json(),
            "provenance": self.provenance,
        }

    def to_text(self) -> str:
        """A table for people: IoU in percent per class and mask."""
        names = list(self.masks)
        lines = [f"{'class':<22}" + "".join(f"{'IoU ' + name:>12}" for name in names) + f"{'cells':>14}"]
        for index, label in enumerate(CLASSES):
            cells = [points(self.masks[name].counts[index].iou, 2) for name in names]
            truth = self.main.counts[index].truth
            lines.append(f"{label:<22}" + "".join(f"{cell:>12}" for cell in cells) + f"{truth:>14,}")
        means = "".join(f"{points(self.masks[name].miou, 2):>12}" for name in names)
        lines.append(f"{'mIoU':<22}{means}{self.main.averaged_classes:>11} cl.")
        lines += [self.masks_text(), self.depth_text(), *self.uncertainty_lines()]
        return "\n".join([*lines, provenance_text(self.provenance)])

    def uncertainty_lines(self) -> list[str]:
        """One line per mask, where uncertainty was asked for."""
        scores = self.uncertainty or {}
        return [f"uncertainty, {mask}: {each.to_text()}" for mask, each in scores.items()]

    def _uncertainty_json(self) -> dict[str, Any]:
        if self.uncertainty is None:
            return {}
        return {"uncertainty": {mask: each.to_json() for mask, each in self.uncertainty.items()}}

    def masks_text(self) -> str:
        """One line: how many images, and what the masks mean."""
        notes = "; ".join(f"{name} = {MASK_NAMES[name]}" for name in self.masks)
        return f"{self.samples} images; ignore masks: {notes}"

    def depth_text(self) -> str:
        """One line: the depth metrics, or why there are none."""
        return f"depth: {self.depth.to_text() if self.depth else self._without_depth}"

    @property
    def _without_depth(self) -> str:
        return self.depth_note or "no LiDAR point in these images"


_MIOU_LINE = re.compile(r"^class +(IoU .*?) +cells\n(?:.*\n)*?mIoU +(.*?) +\d+ cl\.$", re.MULTILINE)


def mious_in_log(text: str) -> dict[str, float]:
    """The mIoU under each mask, 0 to 1, of the last ``EvaluationResult.to_text`` in a training's log."""
    found = _MIOU_LINE.findall(text)
    if not found:
        return {}
    names, values = re.findall(r"IoU (\w+)", found[-1][0]), found[-1][1].split()
    return {name: float(value) / 100 for name, value in zip(names, values, strict=True)}


def provenance_text(provenance: dict[str, Any]) -> str:
    """One line of what has to be named next to a score; what is unknown is skipped."""
    words = {
        "part": "{} part",
        "split": "split {}",
        "cameras_used": "cameras {}",
        "raster": "raster {}",
        "map_version": "maps {}",
        "denoise_steps": "DDIM steps {}",
        "noise_seed": "noise seed {}",
        "noise_seeds": "noise seeds {}",
        "samples_averaged": "mean of {} samples",
        "weights": "weights: {}",
    }
    known = [(text, provenance.get(key)) for key, text in words.items()]
    return "labels and noise: " + ", ".join(
        text.format(value) for text, value in known if value not in (None, "")
    )


def _shares(numbers: list[int], cells: list[int]) -> dict[str, float | None]:
    pairs = zip(CLASSES, numbers, cells, strict=True)
    return {name: number / total if total else None for name, number, total in pairs}
