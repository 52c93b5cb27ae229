import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from diffbev_engine.core.classes import CLASS_PRIORS
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.settings import SegmentationLossSettings

PRIOR_LOGITS = torch.tensor([math.log(p / (1 - p)) for p in CLASS_PRIORS])


def random_batch(shape: tuple[int, int] = (3, 4), seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, classes, valid, known of two images."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 14, *shape, generator=generator)
    classes = torch.rand(2, 14, *shape, generator=generator) < 0.3
    valid = torch.rand(2, *shape, generator=generator) < 0.6
    known = torch.rand(2, 14, generator=generator) < 0.8
    return logits, classes, valid, known


def loss_by_loops(logits: Tensor, classes: Tensor, valid: Tensor, known: Tensor, weight: float) -> float:
    """Every element on its own, in Python floats."""
    total = 0.0
    for b, c, z, x in product(*(range(n) for n in logits.shape)):
        if not known[b, c]:
            continue
        probability = 1 / (1 + math.exp(-logits[b, c, z, x].item()))
        prior = CLASS_PRIORS[c]
        if valid[b, z, x]:
            positive = classes[b, c, z, x].item()
            total -= math.log(probability) / math.sqrt(prior) if positive else math.log(1 - probability)
        else:
            total -= weight * (prior * math.log(probability) + (1 - prior) * math.log(1 - probability))
    return total / logits.numel()


@pytest.mark.parametrize("weight", [0.001, 0.5])
def test_loss_equals_the_definition_element_by_element(weight: float):
    batch = random_batch()
    loss = SegmentationLoss(SegmentationLossSettings(invisible_weight=weight))(*batch)
    assert loss.item() == pytest.approx(loss_by_loops(*batch, weight), rel=1e-5)


def test_untrained_loss_is_0_395_times_the_visible_share():
    cells = torch.arange(8 * 196 * 200).view(8, 196, 200)
    visible = int(0.6 * cells.numel())
    positives = (torch.tensor(CLASS_PRIORS) * visible).round()  # exactly the prior, among visible cells
    classes = cells[:, None] < positives[:, None, None]
    logits = PRIOR_LOGITS[:, None, None].expand(8, -1, 196, 200)
    known = torch.ones(8, 14, dtype=torch.bool)
    without_prior_term = SegmentationLoss(SegmentationLossSettings(invisible_weight=0.0))
    loss = without_prior_term(logits, classes, cells < visible, known)
    assert loss.item() == pytest.approx(0.3947 * 0.6, abs=2e-4)


def test_invisible_cells_pull_to_the_prior_and_ignore_the_label():
    logits, classes, _, _ = random_batch()
    nothing_visible = torch.zeros(2, 3, 4, dtype=torch.bool)
    all_known = torch.ones(2, 14, dtype=torch.bool)
    at_prior = PRIOR_LOGITS[:, None, None].expand_as(logits).clone().requires_grad_()
    loss = SegmentationLoss(SegmentationLossSettings())
    (gradient,) = torch.autograd.grad(loss(at_prior, classes, nothing_visible, all_known), at_prior)
    assert gradient.abs().max() < 1e-9
    same = loss(logits, ~classes, nothing_visible, all_known)
    assert loss(logits, classes, nothing_visible, all_known) == same


def test_unannotated_classes_get_no_gradient_anywhere():
    logits, classes, valid, known = random_batch()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(
        SegmentationLoss(SegmentationLossSettings())(logits, classes, valid, known), logits
    )
    assert (gradient[~known] == 0).all()
    assert (gradient[known] != 0).all()


def test_loss_is_computed_in_float32_under_autocast():
    logits, classes, valid, known = random_batch((16, 16))
    loss = SegmentationLoss(SegmentationLossSettings())
    rounded = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(rounded, classes, valid, known)
    assert inside.dtype == torch.float32
    assert inside == loss(rounded.float(), classes, valid, known)


def test_extreme_logits_give_a_finite_loss():
    logits, classes, valid, known = random_batch()
    loss = SegmentationLoss(SegmentationLossSettings())(logits.sign() * 1e4, classes, valid, known)
    assert np.isfinite(loss.item())


def test_classes_may_be_uint8_as_well_as_bool():
    logits, classes, valid, known = random_batch()
    loss = SegmentationLoss(SegmentationLossSettings())
    assert loss(logits, classes.byte(), valid, known) == loss(logits, classes, valid, known)
