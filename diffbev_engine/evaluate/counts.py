"""Streamed counts of true and false positives: memory does not grow with the validation set."""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.evaluate.result import ClassCounts, MaskResult

THRESHOLD = 0.5
"""A cell is positive when the sigmoid of its logit is above this (PON, section 4)."""


class CountStream:
    """Adds up counts on the device; nothing is copied to the host before ``totals``."""

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(3, NUM_CLASSES, dtype=torch.int64, device=device)  # TP, FP, FN
        self._cells = torch.zeros(NUM_CLASSES, dtype=torch.int64, device=device)
        self._ignored = torch.zeros(NUM_CLASSES, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, classes: Tensor, valid: Tensor, known: Tensor) -> None:
        """Count one batch.

        Args:
            logits: (B, 14, Z, X) scores before the sigmoid.
            classes: (B, 14, Z, X) bool ground truth.
            valid: (B, Z, X) bool, cells that count.
            known: (B, 14) bool, classes that this place annotates.
        """
        predicted = logits.float().sigmoid() > THRESHOLD
        scored = valid[:, None] & known[:, :, None, None]  # B x 14 x Z x X
        outcomes = (predicted & classes, predicted & ~classes, ~predicted & classes)
        self._counts += torch.stack([(outcome & scored).sum(dim=(0, 2, 3)) for outcome in outcomes])
        self._cells += scored.sum(dim=(0, 2, 3))
        self._ignored += (~valid).sum()

    def result(self) -> MaskResult:
        """Totals over all processes; this waits for the device."""
        everything = torch.cat([self._counts, self._cells[None], self._ignored[None]])  # 5 x 14
        if distributed.is_initialized():
            distributed.all_reduce(everything)
        true_positive, false_positive, false_negative, cells, ignored = everything.tolist()
        triples = zip(true_positive, false_positive, false_negative, strict=True)
        return MaskResult([ClassCounts(*triple) for triple in triples], cells, ignored[0])


def results_by_mask(streams: Mapping[str, CountStream]) -> dict[str, MaskResult]:
    """Totals under each mask that the labels carry; labels of other tools lack that of the field of view."""
    masks = {mask: stream.result() for mask, stream in streams.items()}
    if not masks["fov"].ignored:
        del masks["fov"], masks["unseen"]
    return masks
