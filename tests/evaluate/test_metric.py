"""The metric itself: what a number must be when the prediction is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffbev_engine.core.classes import CLASS_PRIORS, CLASSES, NUM_CLASSES
from diffbev_engine.evaluate.counts import CountStream

CPU = torch.device("cpu")


def _score(logits, classes, valid=None, known=None):
    stream = CountStream(CPU)
    valid = torch.ones(classes.shape[0], *classes.shape[2:], dtype=torch.bool) if valid is None else valid
    known = torch.ones(classes.shape[:2], dtype=torch.bool) if known is None else known
    stream.add(logits, classes, valid, known)
    return stream.result()


@pytest.fixture(scope="module")
def classes():
    """Classes as frequent as in PON's training split; objects stand on drivable area."""
    rng = np.random.default_rng(0)
    priors = np.array(CLASS_PRIORS)[:, None, None]
    return torch.from_numpy(rng.random((1, NUM_CLASSES, 1400, 1400)) < priors)


def _as_logits(prediction):
    return torch.where(prediction, 10.0, -10.0)


def test_ground_truth_as_prediction_scores_one(classes):
    result = _score(_as_logits(classes), classes)
    assert result.miou == 1.0
    assert set(result.iou.values()) == {1.0}


def test_all_ones_scores_the_priors(classes):
    result = _score(torch.full(classes.shape, 10.0), classes)
    for name, prior in zip(CLASSES, CLASS_PRIORS, strict=True):
        assert result.iou[name] == pytest.approx(prior, rel=0.15)
    assert result.miou == pytest.approx(0.0485, rel=0.02)
    assert all(count.false_negative == 0 for count in result.counts)


def test_zeros_score_zero(classes):
    result = _score(torch.zeros(classes.shape), classes)  # sigmoid is 0.5, which is not above 0.5
    assert result.miou == 0.0
    assert all(count.true_positive == 0 and count.false_positive == 0 for count in result.counts)


def test_drivable_area_only_scores_its_prior_over_fourteen(classes):
    everywhere = torch.zeros(classes.shape, dtype=torch.bool)
    everywhere[:, 0] = True
    result = _score(_as_logits(everywhere), classes)
    assert result.iou["drivable_area"] == pytest.approx(0.447, abs=0.002)
    assert result.miou == pytest.approx(0.0319, abs=0.0002)


def test_ignored_cells_and_unannotated_classes_do_not_count():
    classes = torch.zeros(1, NUM_CLASSES, 2, 2, dtype=torch.bool)
    classes[0, :2, 0, 0] = True
    prediction = torch.ones_like(classes)
    valid = torch.tensor([[[True, False], [True, False]]])
    known = torch.ones(1, NUM_CLASSES, dtype=torch.bool)
    known[0, 1] = False

    result = _score(_as_logits(prediction), classes, valid, known)

    assert result.cells[:2] == [2, 0]
    assert result.iou["drivable_area"] == 0.5
    assert result.iou["ped_crossing"] is None
    assert result.averaged_classes == 1
    assert result.ignored == 2


def test_a_class_without_ground_truth_is_left_out_of_the_mean():
    classes = torch.zeros(1, NUM_CLASSES, 1, 2, dtype=torch.bool)
    classes[0, 0] = True
    result = _score(_as_logits(torch.ones_like(classes)), classes)
    assert result.iou["car"] is None
    assert result.counts[4].predicted == 2
    assert result.miou == 1.0


planes = hnp.arrays(bool, (3, NUM_CLASSES, 4, 5))


@given(planes, planes, hnp.arrays(bool, (3, 4, 5)), st.integers(1, 3))
def test_streaming_in_any_batches_equals_one_pass(classes, prediction, valid, batch):
    everything = [torch.from_numpy(array) for array in (classes, prediction, valid)]
    whole = _score(_as_logits(everything[1]), everything[0], everything[2])
    stream = CountStream(CPU)
    for start in range(0, 3, batch):
        truth, predicted, mask = (array[start : start + batch] for array in everything)
        known = torch.ones(len(truth), NUM_CLASSES, dtype=torch.bool)
        stream.add(_as_logits(predicted), truth, mask, known)

    assert stream.result() == whole
    for index in range(NUM_CLASSES):  # against a set definition, cell by cell
        truth = set(zip(*np.nonzero(classes[:, index] & valid), strict=True))
        found = set(zip(*np.nonzero(prediction[:, index] & valid), strict=True))
        iou = len(truth & found) / len(truth | found) if truth else None
        assert whole.counts[index].iou == iou
