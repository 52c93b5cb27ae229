"""What an evaluation found, with everything a number needs beside it to be compared."""

from dataclasses import dataclass
from typing import Any

from diffbev_engine.classes import CLASSES

MASK_NAMES = {"pon": "LiDAR occlusion and field of view", "fov": "field of view only"}


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
class EvaluationResult:
    """Scores of one model on one split, under every ignore mask the labels carry."""

    masks: dict[str, MaskResult]
    main_mask: str
    samples: int
    images_per_s: float
    provenance: dict[str, Any]
    """Split, cameras, raster and map version of the labels."""

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
            "provenance": self.provenance,
        }

    def to_text(self) -> str:
        """A table for people: IoU in percent per class and mask."""
        names = list(self.masks)
        lines = [f"{'class':<22}" + "".join(f"{'IoU ' + name:>10}" for name in names) + f"{'cells':>14}"]
        for index, label in enumerate(CLASSES):
            cells = [_percent(self.masks[name].counts[index].iou) for name in names]
            truth = self.main.counts[index].truth
            lines.append(f"{label:<22}" + "".join(f"{cell:>10}" for cell in cells) + f"{truth:>14,}")
        means = "".join(f"{_percent(self.masks[name].miou):>10}" for name in names)
        lines.append(f"{'mIoU':<22}{means}{self.main.averaged_classes:>11} cl.")
        notes = [f"{name} = {MASK_NAMES[name]}" for name in names]
        lines.append(f"{self.samples} images; ignore masks: {'; '.join(notes)}")
        return "\n".join(lines)


def _shares(numbers: list[int], cells: list[int]) -> dict[str, float | None]:
    pairs = zip(CLASSES, numbers, cells, strict=True)
    return {name: number / total if total else None for name, number, total in pairs}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
