"""Uncertainty is scored as its definitions say, whatever the batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.evaluate.uncertainty import UncertaintyStream

CPU = torch.device("cpu")


def _scores(logits, spread, classes, batches=1):
    stream = UncertaintyStream(CPU)
    for part in torch.arange(len(logits)).chunk(batches):
        valid = torch.ones(len(part), *logits.shape[2:], dtype=torch.bool)
        known = torch.ones(len(part), NUM_CLASSES, dtype=torch.bool)
        stream.add(logits[part], None if spread is None else spread[part], classes[part], valid, known)
    return stream.result()


def _auroc(doubt, wrong):
    pairs = doubt[wrong][:, None] - doubt[~wrong][None]
    return ((pairs > 0).double() + (pairs == 0).double() / 2).mean().item()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), batches=st.integers(1, 3))
def test_areas_are_those_of_all_pairs(seed, batches):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, NUM_CLASSES, 2, 3)
    logits = 4 * torch.randn(shape, generator=generator)
    spread = 0.5 * torch.rand(shape, generator=generator)
    classes = torch.rand(shape, generator=generator) < 0.4
    found = _scores(logits, spread, classes, batches)
    wrong = (logits > 0) != classes
    assert found.auroc_entropy == pytest.approx(_auroc(-logits.abs(), wrong), abs=2e-3)
    assert found.auroc_spread == pytest.approx(_auroc(spread, wrong), abs=5e-3)
    of_class = (
        _auroc(-logits[:, 3].abs(), wrong[:, 3]) if 0 < wrong[:, 3].sum() < wrong[:, 3].numel() else None
    )
    assert found.by_class[CLASSES[3]][0] == (None if of_class is None else pytest.approx(of_class, abs=2e-2))


@pytest.mark.parametrize(("right", "expected"), [(0.9, 0.0), (0.6, 0.3), (1.0, 0.1)])
def test_the_calibration_error_is_how_far_confidence_is_from_the_share_of_right_decisions(right, expected):
    shape = (1, NUM_CLASSES, 10, 10)
    classes = (torch.arange(100) < round(100 * right)).view(1, 1, 10, 10).expand(shape)
    logits = torch.full(shape, 0.9).logit()
    assert _scores(logits, None, classes).ece == pytest.approx(expected, abs=1e-3)


def test_cells_that_are_hidden_and_classes_that_are_unknown_do_not_count():
    shape = (1, NUM_CLASSES, 2, 2)
    logits, classes = torch.full(shape, 3.0), torch.ones(shape, dtype=torch.bool)
    classes[:, 0], classes[:, :, 0] = False, False  # errors, none of which counts
    valid = torch.tensor([[[False, False], [True, True]]])
    known = torch.ones(1, NUM_CLASSES, dtype=torch.bool)
    known[:, 0] = False
    stream = UncertaintyStream(CPU)
    stream.add(logits, None, classes, valid, known)
    found = stream.result()
    assert found.auroc_entropy is None
    assert found.ece == pytest.approx(1 - torch.tensor(3.0).sigmoid().item(), abs=1e-3)
