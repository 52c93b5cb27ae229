"""Prediction statistics from which all failure signatures can be derived.

Dimension letters: B batch, Z X BEV rows and columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diffbev_engine.core.classes import CLASS_PRIORS, CLASSES, NUM_CLASSES
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.counts import THRESHOLD, CountStream
from diffbev_engine.evaluate.network import Predict
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.result import MaskResult
from diffbev_engine.findings.prediction.transforms import AXIS_CHANGES, IDENTITY

REFERENCES = ("truth", "all_positive", "all_negative", "drivable_only")


@dataclass(frozen=True)
class PredictionSurvey:
    """A model on a sample, under one ignore mask."""

    images: int
    mask: str
    result: MaskResult
    """The score as ``evaluate`` counts it."""
    references: dict[str, MaskResult]
    """What four answers that need no model would score on the same cells: a test of the metric."""
    changed: dict[str, MaskResult]
    """The score of the same prediction with its axes changed; see ``AXIS_CHANGES``."""
    wins: dict[str, int]
    """Images in which the changed prediction scores higher than the unchanged."""
    finite: bool
    """False when a score was NaN or infinite."""
    highest_score: float
    """The highest sigmoid anywhere."""
    spread: float
    """Largest difference, over cells and images, between two scores of one class."""
    prior_gap: float
    """Largest distance of a logit from the log-odds of its class's prior: 0 in the initial state."""
    unanimous: float
    """Share of the cells positive in any image that are positive in all images."""
    unanimous_truth: float
    """The same of the labels."""

    @property
    def accuracy(self) -> float:
        """Share of right decisions, over visible cells and classes."""
        wrong = sum(count.false_positive + count.false_negative for count in self.result.counts)
        total = sum(self.result.cells)
        return 1 - wrong / total if total else 0.0

    @property
    def top(self) -> tuple[int, float]:
        """The class with the most positive predictions, and its share of them; 0 where there are none."""
        return _top([count.predicted for count in self.result.counts])

    def truth_share(self, number: int) -> float:
        """Share of class ``number`` in the positive cells of the labels."""
        truth = [count.truth for count in self.result.counts]
        return truth[number] / sum(truth) if sum(truth) else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        number, share = self.top
        return {
            "images": self.images,
            "mask": self.mask,
            **self.result.to_json(),
            "priors": dict(zip(CLASSES, CLASS_PRIORS, strict=True)),
            "overall_accuracy": self.accuracy,
            "top_class": CLASSES[number] if share else None,
            "top_share": share,
            "references_mIoU": {name: score.miou for name, score in self.references.items()},
            "mIoU_by_axes": {name: score.miou for name, score in self.changed.items()},
            "images_better_by_axes": self.wins,
            "finite": self.finite,
            "highest_score": self.highest_score if self.finite else None,
            "score_spread": self.spread if self.finite else None,
            "unanimous": self.unanimous,
            "unanimous_truth": self.unanimous_truth,
        }


@torch.inference_mode()
def survey_predictions(
    predict: Predict, batches: Iterable[Batch | None], device: torch.device, mask: str
) -> PredictionSurvey:
    """Run a model over ``batches``.

    Args:
        predict: batch on ``device`` to logits (B, 14, Z, X); the model is in evaluation mode.
        batches: every sample once.
        device: where to count.
        mask: ignore mask, ``pon`` or ``fov``.
    """
    totals = _Totals(device)
    with reproducible_kernels():
        for batch in batches:
            if batch is not None:
                moved = batch.to(device)
                totals.add(predict(moved).float(), moved, mask)
    return totals.survey(mask)


@dataclass
class _Votes:
    """In how many images each cell was positive."""

    count: Tensor | None = None

    def add(self, planes: Tensor) -> None:
        votes = planes.sum(dim=0)
        self.count = votes if self.count is None else self.count + votes

    def unanimous(self, images: int) -> float:
        assert self.count is not None, "there was at least one batch"
        ever = int((self.count > 0).sum())
        return int((self.count == images).sum()) / ever if ever else 0.0


@dataclass
class _Totals:
    device: torch.device
    images: int = 0
    finite: bool = True
    prior_gap: float = 0.0
    wins: dict[str, int] = field(default_factory=lambda: {change.name: 0 for change in AXIS_CHANGES})

    def __post_init__(self) -> None:
        self.changed = {change.name: CountStream(self.device) for change in AXIS_CHANGES}
        self.references = {name: CountStream(self.device) for name in REFERENCES}
        self.votes, self.truth_votes = _Votes(), _Votes()
        self.low = torch.full((NUM_CLASSES,), torch.inf, device=self.device)
        self.high = torch.full((NUM_CLASSES,), -torch.inf, device=self.device)
        self.log_odds = torch.tensor(CLASS_PRIORS, device=self.device).logit()[:, None, None]

    def add(self, logits: Tensor, batch: Batch, mask: str) -> None:
        """Count one batch of logits (B, 14, Z, X)."""
        classes, valid, known = batch.classes(), batch.valid(mask), batch.known
        scores = logits.sigmoid()
        positive = scores > THRESHOLD
        scored = valid[:, None] & known[:, :, None, None]  # B x 14 x Z x X
        plain = _image_miou(positive, classes, scored)
        for change in AXIS_CHANGES:
            planes = change.apply(positive)
            self.changed[change.name].add(_as_logits(planes), classes, valid, known)
            if change.name != IDENTITY:
                self.wins[change.name] += int((_image_miou(planes, classes, scored) > plain).sum())
        drivable = torch.zeros_like(classes)
        drivable[:, 0] = True
        answers = (classes, torch.ones_like(classes), torch.zeros_like(classes), drivable)
        for name, answer in zip(REFERENCES, answers, strict=True):
            self.references[name].add(_as_logits(answer), classes, valid, known)
        self.votes.add(positive)
        self.truth_votes.add(classes & known[:, :, None, None])
        self.low = torch.minimum(self.low, scores.amin(dim=(0, 2, 3)))
        self.high = torch.maximum(self.high, scores.amax(dim=(0, 2, 3)))
        self.finite &= bool(logits.isfinite().all())
        self.prior_gap = max(self.prior_gap, float((logits - self.log_odds).abs().max()))
        self.images += len(batch.tokens)

    def survey(self, mask: str) -> PredictionSurvey:
        changed = {name: stream.result() for name, stream in self.changed.items()}
        return PredictionSurvey(
            images=self.images,
            mask=mask,
            result=changed[IDENTITY],
            references={name: stream.result() for name, stream in self.references.items()},
            changed=changed,
            wins=self.wins,
            finite=self.finite,
            highest_score=float(self.high.max()),
            spread=float((self.high - self.low).max()),
            prior_gap=self.prior_gap,
            unanimous=self.votes.unanimous(self.images),
            unanimous_truth=self.truth_votes.unanimous(self.images),
        )


def _as_logits(planes: Tensor) -> Tensor:
    return planes.float() * 2 - 1


def _image_miou(positive: Tensor, classes: Tensor, scored: Tensor) -> Tensor:
    """Mean IoU of every image over the classes that it shows, (B,); 0 where it shows none."""
    both = (positive & classes & scored).sum(dim=(2, 3))  # B x 14
    either = ((positive | classes) & scored).sum(dim=(2, 3))
    present = (classes & scored).any(dim=3).any(dim=2)
    iou = both / either.clamp(min=1)
    return (iou * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _top(counts: list[int]) -> tuple[int, float]:
    number = max(range(len(counts)), key=counts.__getitem__)
    total = sum(counts)
    return number, counts[number] / total if total else 0.0
