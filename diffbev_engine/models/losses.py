"""Lwce, the segmentation loss: class-balanced binary cross entropy on visible cells plus a prior term.

Dimension letters: B batch, K classes, Z X BEV rows and columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbev_engine.models.settings import SegmentationLossSettings


def segmentation_loss(
    logits: Tensor,
    classes: Tensor,
    valid: Tensor,
    known: Tensor,
    priors: Tensor,
    invisible_weight: float = 0.001,
) -> Tensor:
    """Weighted cross entropy of PON (Roddick and Cipolla, CVPR 2020), a float32 scalar.

    A positive of class c weighs p_c^-1/2, a negative 1.  Cells that are not ``valid`` are pulled
    to the prior p_c instead, with ``invisible_weight``.  Both terms are means over all B*K*Z*X
    elements, so masked elements count in the denominator.  A class that a map does not annotate
    (``known`` False) says nothing about any cell and takes part in neither term.

    Args:
        logits: (B, K, Z, X), any floating type; computed in float32 also under autocast.
        classes: (B, K, Z, X) bool or uint8, 1 where the cell belongs to the class.
        valid: (B, Z, X) bool, False where the label must be ignored.
        known: (B, K) bool, False where the class is not annotated on that image's map.
        priors: (K,) float32 share of visible cells per class, in (0, 1).
        invisible_weight: Weight of the prior term.
    """
    with torch.autocast(logits.device.type, enabled=False):
        scores = logits.float()  # B x K x Z x X
        targets = classes.float()
        priors = priors[:, None, None]  # K x 1 x 1
        annotated = known[:, :, None, None]  # B x K x 1 x 1
        visible = valid[:, None] & annotated  # B x K x Z x X
        invisible = ~valid[:, None] & annotated
        weights = ((priors.rsqrt() - 1) * targets + 1) * visible
        balanced = weights * F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        # softplus(s) - s p is the cross entropy of a score against a probability.
        to_prior = invisible * (F.softplus(scores) - scores * priors)
        return balanced.mean() + invisible_weight * to_prior.mean()


class SegmentationLoss(nn.Module):
    """:func:`segmentation_loss` with the priors and weight of ``settings``, kept on the model's device."""

    priors: Tensor

    def __init__(self, settings: SegmentationLossSettings) -> None:
        super().__init__()
        self.invisible_weight = settings.invisible_weight
        self.register_buffer("priors", torch.tensor(settings.shares), persistent=False)

    def forward(self, logits: Tensor, classes: Tensor, valid: Tensor, known: Tensor) -> Tensor:
        """See :func:`segmentation_loss` for the shapes."""
        return segmentation_loss(logits, classes, valid, known, self.priors, self.invisible_weight)
