"""Several evaluations of one checkpoint: over noise seeds, and over numbers of denoising steps."""

import statistics
from dataclasses import dataclass
from typing import Any

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.format import points
from diffbev_engine.evaluate.network_clock import WHAT_IS_TIMED
from diffbev_engine.evaluate.result import EvaluationResult, provenance_text


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a score over noise seeds."""

    mean: float | None
    """``None`` for a class without ground truth."""
    std: float | None
    """``None`` for a single seed."""

    @classmethod
    def of(cls, values: list[float | None]) -> "Spread":
        """The spread of ``values``; ground truth is the same for all, so either all or none are there."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(None, None)
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)

    def to_text(self) -> str:
        """Percent, such as ``17.21 ± 0.05``."""
        return points(self.mean, 2) + ("" if self.std is None else f" ± {points(self.std, 2)}")


@dataclass(frozen=True)
class SeedSummary:
    """The same model under noise seeds 0, 1, …; one seed is a plain evaluation."""

    results: list[EvaluationResult]
    """One per seed."""
    steps: int | None
    """DDIM steps; ``None`` without diffusion."""

    @property
    def first(self) -> EvaluationResult:
        """The evaluation with seed 0; what does not depend on noise is taken from it."""
        return self.results[0]

    @property
    def network_ms(self) -> float:
        """Network time in ms per image, median over seeds."""
        return statistics.median(result.network_ms for result in self.results)

    @property
    def images_per_s(self) -> float:
        """Images per second of the whole evaluation, mean over seeds."""
        return statistics.fmean(result.images_per_s for result in self.results)

    def miou(self, mask: str) -> Spread:
        """The mIoU under ``mask``."""
        return Spread.of([result.masks[mask].miou for result in self.results])

    def iou(self, mask: str, name: str) -> Spread:
        """The IoU of class ``name`` under ``mask``."""
        return Spread.of([result.masks[mask].iou[name] for result in self.results])

    @property
    def provenance(self) -> dict[str, Any]:
        """That of one evaluation, with all the seeds."""
        if len(self.results) == 1:
            return self.first.provenance
        made = {key: value for key, value in self.first.provenance.items() if key != "noise_seed"}
        return {**made, "noise_seeds": list(range(len(self.results)))}

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; for one seed exactly those of its evaluation."""
        if len(self.results) == 1:
            return self.first.to_json()
        main = self.miou(self.first.main_mask)
        return {
            "mIoU": main.mean,
            "mIoU_std": main.std,
            "mIoU_per_seed": [result.main.miou for result in self.results],
            "mask": self.first.main_mask,
            "masks": {mask: self._mask_json(mask) for mask in self.first.masks},
            "samples": self.first.samples,
            "images_per_s": self.images_per_s,
            "network_ms": self.network_ms,
            "depth": self.first.to_json()["depth"],
            "depth_note": self.first.to_json()["depth_note"],
            "provenance": self.provenance,
            "per_seed": [result.to_json() for result in self.results],
        }

    def to_text(self) -> str:
        """A table for people: percent, mean ± standard deviation per class and mask."""
        if len(self.results) == 1:
            return self.first.to_text()
        names = list(self.first.masks)
        lines = [f"{'class':<22}" + "".join(f"{'IoU ' + name:>16}" for name in names)]
        for label in CLASSES:
            lines.append(f"{label:<22}" + "".join(f"{self.iou(name, label).to_text():>16}" for name in names))
        means = "".join(f"{self.miou(name).to_text():>16}" for name in names)
        seeds = ", ".join(f"{seed}: {points(each.main.miou, 2)}" for seed, each in enumerate(self.results))
        lines += [
            f"{'mIoU':<22}{means}",
            f"± sample standard deviation; mIoU by noise seed (mask {self.first.main_mask}): {seeds}",
            self.first.masks_text(),
            self.first.depth_text(),
            *self.first.uncertainty_lines(),
            provenance_text(self.provenance),
        ]
        return "\n".join(lines)

    def _mask_json(self, mask: str) -> dict[str, Any]:
        classes = {name: self.iou(mask, name) for name in CLASSES}
        return {
            "mIoU": self.miou(mask).mean,
            "mIoU_std": self.miou(mask).std,
            "classes_averaged": self.first.masks[mask].averaged_classes,
            "IoU": {name: spread.mean for name, spread in classes.items()},
            "IoU_std": {name: spread.std for name, spread in classes.items()},
        }


@dataclass(frozen=True)
class StepsTable:
    """Quality against cost, one row per number of denoising steps; one row is a summary over seeds."""

    rows: list[SeedSummary]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; for one row exactly those of that row."""
        if len(self.rows) == 1:
            return self.rows[0].to_json()
        return {
            "timed": WHAT_IS_TIMED,
            "by_steps": [{"steps": row.steps, **row.to_json()} for row in self.rows],
        }

    def to_text(self) -> str:
        """A table for people; for one row the classes of that row."""
        if len(self.rows) == 1:
            return self.rows[0].to_text()
        first = self.rows[0].first
        lines = [
            f"{'steps':>5}"
            + "".join(f"{'mIoU ' + mask:>16}" for mask in first.masks)
            + f"{'network ms/image':>18}{'images/s':>10}"
        ]
        for row in self.rows:
            scores = "".join(f"{row.miou(mask).to_text():>16}" for mask in first.masks)
            lines.append(f"{row.steps:>5}{scores}{row.network_ms:>18.2f}{row.images_per_s:>10.1f}")
        made = first.provenance
        if len(self.rows[0].results) > 1:
            lines.append("± sample standard deviation over noise seeds")
        shared = {key: value for key, value in self.rows[0].provenance.items() if key != "denoise_steps"}
        lines += [
            f"network: {WHAT_IS_TIMED}",
            f"{made['device']}, {made['precision']}, batch {made['batch_size']}; "
            "images/s: the whole evaluation, loading and scoring included",
            first.masks_text(),
            first.depth_text(),
            *(f"{row.steps} steps, {line}" for row in self.rows for line in row.first.uncertainty_lines()),
            provenance_text(shared),
        ]
        return "\n".join(lines)
