"""Whether a model knows when it errs: calibration and error detection, streamed over a split.

One decision is one class of one cell.  Two numbers can tell that it may be wrong: the entropy of its
probability, which every model has, and the spread of the probability over samples of a diffusion.
"""

from typing import NamedTuple

import torch
from torch import Tensor, distributed

from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.evaluate.counts import THRESHOLD
from diffbev_engine.evaluate.result import UncertaintyScores

_BINS = 4096
_LARGEST_LOGIT = 16.0  # |logit| of all that is more certain
_SMALLEST_SPREAD = 1e-6
_CONFIDENCES = 15  # bins of the calibration error, as in Guo et al., ICML 2017


class _Counts(NamedTuple):
    """(14, 2, bins) int64 each: decisions of a class that are right and wrong, the most certain first."""

    logit: Tensor
    spread: Tensor


class UncertaintyStream:
    """Adds up decisions by how certain they were, on the device."""

    def __init__(self, device: torch.device) -> None:
        shape = (NUM_CLASSES, 2, _BINS)
        self._counts = _Counts(*(torch.zeros(shape, dtype=torch.int64, device=device) for _ in range(2)))
        self._sampled = False

    def add(
        self, logits: Tensor, spread: Tensor | None, classes: Tensor, valid: Tensor, known: Tensor
    ) -> None:
        """Count one batch.

        Args:
            logits: (B, 14, Z, X) scores before the sigmoid.
            spread: (B, 14, Z, X) standard deviation of the probability over samples, in all batches or none.
            classes: (B, 14, Z, X) bool ground truth.
            valid: (B, Z, X) bool, cells that count.
            known: (B, 14) bool, classes that this place annotates.
        """
        scored = valid[:, None] & known[:, :, None, None]  # B x 14 x Z x X
        wrong = ((logits.float().sigmoid() > THRESHOLD) != classes).long()
        class_of = torch.arange(NUM_CLASSES, device=logits.device)[:, None, None]
        place = ((class_of * 2 + wrong) * _BINS)[scored]
        _count(self._counts.logit, place + _logit_bin(logits)[scored])
        if spread is not None:
            self._sampled = True
            _count(self._counts.spread, place + _spread_bin(spread)[scored])

    def result(self) -> UncertaintyScores:
        """Scores over all processes; this waits for the device."""
        counts = torch.stack(self._counts)
        if distributed.is_initialized():
            distributed.all_reduce(counts)
        by_logit, by_spread = counts.double().cpu()  # 14 x 2 x bins each
        return UncertaintyScores(
            ece=_calibration_error(by_logit.sum(dim=0)),
            auroc_entropy=_auroc(by_logit.sum(dim=0)),
            auroc_spread=_auroc(by_spread.sum(dim=0)) if self._sampled else None,
            by_class={
                name: (_auroc(by_logit[number]), _auroc(by_spread[number]) if self._sampled else None)
                for number, name in enumerate(CLASSES)
            },
        )


def _count(counts: Tensor, places: Tensor) -> None:
    counts += torch.bincount(places, minlength=counts.numel()).view_as(counts)


def _logit_bin(logits: Tensor) -> Tensor:
    """Bin 0 holds the largest |logit|: entropy falls with it, so that the order is that of the entropy."""
    share = 1 - logits.float().abs() / _LARGEST_LOGIT
    return (share.clamp(0, 1) * (_BINS - 1)).long()


def _spread_bin(spread: Tensor) -> Tensor:
    """Bin 0 holds the smallest spread; bins are even in its logarithm, up to its limit, one half."""
    decades = torch.log(spread.float().clamp(min=_SMALLEST_SPREAD) / _SMALLEST_SPREAD)
    return (
        (decades / torch.log(torch.tensor(0.5 / _SMALLEST_SPREAD)) * (_BINS - 1)).clamp(0, _BINS - 1).long()
    )


def _auroc(counts: Tensor) -> float | None:
    """Chance that a wrong decision is in a later bin than a right one, half where it is the same.

    Args:
        counts: (2, bins) right and wrong decisions.

    Returns:
        ``None`` where all are right, or all wrong.
    """
    right, wrong = counts
    pairs = right.sum() * wrong.sum()
    if not pairs:
        return None
    before = right.cumsum(0) - right / 2
    return float((wrong * before).sum() / pairs)


def _calibration_error(counts: Tensor) -> float:
    """Expected calibration error: mean |confidence - share of right decisions| over bins of confidence."""
    right, wrong = counts
    middle = (torch.arange(_BINS, dtype=torch.float64) + 0.5) / (_BINS - 1)
    confidence = torch.sigmoid((1 - middle).clamp(min=0) * _LARGEST_LOGIT)  # 0.5 … 1
    coarse = ((confidence - 0.5) * 2 * _CONFIDENCES).long().clamp(max=_CONFIDENCES - 1)
    gaps = torch.zeros(_CONFIDENCES, dtype=torch.float64)
    gaps.index_add_(0, coarse, right - (right + wrong) * confidence)
    return float(gaps.abs().sum() / counts.sum().clamp(min=1))
