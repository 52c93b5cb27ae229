"""Ldepth: sparse LiDAR depth against the lift's depth distribution, and the metrics of that depth.

Every feature of the lift takes the nearest LiDAR point inside the pixels it stands for, as in
BEVDepth (Li et al., AAAI 2023); its target is the lift's own candidate closest to that depth.
Features without a point are not supervised.

Dimension letters: B batch, D depth bins, H W image rows and columns, h w feature rows and columns.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_NO_POINT = float("inf")


class DepthTarget(NamedTuple):
    """What the depth distribution should say."""

    depth: Tensor
    """(B, h, w) float32 metres: the nearest point of each feature, inf where there is none."""
    bins: Tensor
    """(B, h, w) int64: the candidate closest to ``depth``, 0 where there is none."""
    supervised: Tensor
    """(B, h, w) bool: features with at least one point."""


class DepthErrors(NamedTuple):
    """Sums over supervised features; divide by ``features`` for means."""

    features: Tensor
    """How many are supervised."""
    absolute_relative: Tensor
    """Sum of |estimate - truth| / truth."""
    squared: Tensor
    """Sum of squared errors in square metres."""
    within_quarter: Tensor
    """Features whose estimate and truth differ by less than a factor of 1.25."""


def depth_target(
    sparse: Tensor, candidates: Tensor, feature_size: tuple[int, int], stride: int
) -> DepthTarget:
    """Reduce sparse depth to one target a feature.

    Feature (i, j) stands for the pixels of rows [i * stride, (i + 1) * stride) and the same for
    columns: exactly so in the ``aligned`` lift, and it is where the backbone computes it in the
    ``upstream`` lift too.  Features that are on padding have no points.

    Args:
        sparse: (B, H, W) metres, 0 where there is no point.
        candidates: (D,) metres, ascending: the depths of the lift.
        feature_size: (h, w) of the lift.
        stride: Pixels between neighbouring features.
    """
    rows, cols = feature_size[0] * stride, feature_size[1] * stride
    known = torch.where(sparse > 0, sparse.float(), _NO_POINT)[:, :rows, :cols]
    height, width = known.shape[-2:]
    known = F.pad(known, (0, cols - width, 0, rows - height), value=_NO_POINT)
    nearest = -F.max_pool2d(-known[:, None], stride)[:, 0]  # B x h x w
    supervised = nearest < _NO_POINT
    candidates = candidates.float()
    borders = (candidates[1:] + candidates[:-1]) / 2  # D-1
    bins = torch.bucketize(nearest, borders)  # the candidate between whose borders the depth lies
    return DepthTarget(nearest, torch.where(supervised, bins, 0), supervised)


def depth_loss(logits: Tensor, target: DepthTarget, form: Literal["bce_mean", "ce"]) -> Tensor:
    """The depth loss, a float32 scalar; 0 (with zero gradients) for a batch without points.

    ``bce_mean``: binary cross entropy between the softmax and the one-hot target, mean over bins
    and supervised features; about 0.10 for a uniform distribution over 49 bins.
    ``ce``: -log of the target's probability, mean over supervised features; ln D when uniform.

    Args:
        logits: (B, D, h, w), any floating type; computed in float32 also under autocast.
        target: From :func:`depth_target`.
        form: Which of the two.
    """
    with torch.autocast(logits.device.type, enabled=False):
        log_p = logits.float().log_softmax(dim=1)  # B x D x h x w
        index = target.bins[:, None]  # B x 1 x h x w
        log_hit = log_p.gather(1, index)[:, 0]  # B x h x w
        if form == "ce":
            errors = -log_hit
        else:
            # log(1 - p) for all bins but the true one, whose own term is log p.
            log_miss = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))  # B x D x h x w
            missed = log_miss.sum(dim=1) - log_miss.gather(1, index)[:, 0]
            errors = -(log_hit + missed) / logits.shape[1]
        total = torch.where(target.supervised, errors, 0).sum()
        return total / target.supervised.sum().clamp(min=1)


def depth_errors(logits: Tensor, target: DepthTarget, candidates: Tensor) -> DepthErrors:
    """Errors of the expected depth of the distribution, as float64 sums over supervised features.

    Args:
        logits: (B, D, h, w).
        target: From :func:`depth_target`.
        candidates: (D,) metres, the depths of the lift.
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = logits.float().softmax(dim=1)
        estimate = torch.einsum("bdhw,d->bhw", probabilities, candidates.float())  # B x h x w
    estimate, truth = estimate[target.supervised].double(), target.depth[target.supervised].double()
    difference = estimate - truth
    ratio = torch.maximum(estimate / truth, truth / estimate)
    return DepthErrors(
        features=torch.tensor(truth.numel(), dtype=torch.float64, device=truth.device),
        absolute_relative=(difference.abs() / truth).sum(),
        squared=difference.square().sum(),
        within_quarter=(ratio < 1.25).sum().double(),
    )
