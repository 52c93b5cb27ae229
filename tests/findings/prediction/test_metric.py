"""What the counts behind a verdict must be when the prediction is known."""

import pytest
import torch

from diffbev_engine.core.classes import CLASS_PRIORS, NUM_CLASSES
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.findings.prediction.prediction_signs import collapsed, prediction_findings
from diffbev_engine.findings.prediction.predictions import survey_predictions
from diffbev_engine.findings.prediction.transforms import AXIS_CHANGES, BY_NAME

CPU = torch.device("cpu")
SHAPE = (2, NUM_CLASSES, 196, 200)


@pytest.fixture(scope="module")
def batch():
    """Classes as frequent as in PON's training split, everywhere visible."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.rand(SHAPE, generator=generator) < torch.tensor(CLASS_PRIORS)[:, None, None]
    bits = 1 << torch.arange(NUM_CLASSES, dtype=torch.int32)
    label = (planes * bits[:, None, None]).sum(dim=1, dtype=torch.int32)
    known = torch.ones(2, NUM_CLASSES, dtype=torch.bool)
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    return Batch(("a", "b"), images, torch.eye(3).expand(2, 3, 3), label, known, None)


def _survey(batch, planes):
    logits = torch.where(planes.expand(SHAPE), 9.0, -9.0)
    return survey_predictions(lambda _batch: logits, [batch, None], CPU, "pon")


def test_ground_truth_as_prediction_scores_one(batch):
    survey = _survey(batch, batch.classes())
    assert set(survey.result.iou.values()) == {1.0}
    assert survey.accuracy == 1.0
    assert survey.top[0] == 0
    assert survey.top[1] == pytest.approx(0.658, abs=0.01)  # 0.44679 / 0.6792
    assert not collapsed(survey)
    assert prediction_findings(survey) == []


def test_all_ones_score_the_priors(batch):
    survey = _survey(batch, torch.ones(1, 1, 1, 1, dtype=torch.bool))
    for iou, prior in zip(survey.result.iou.values(), CLASS_PRIORS, strict=True):
        assert iou == pytest.approx(prior, rel=0.02, abs=0.002)
    assert survey.result.miou == pytest.approx(0.0485, abs=0.001)
    assert [finding.id for finding in prediction_findings(survey)] == ["all_positive"]


def test_zeros_score_zero(batch):
    survey = _survey(batch, torch.zeros(1, 1, 1, 1, dtype=torch.bool))
    assert survey.result.miou == 0
    assert [finding.id for finding in prediction_findings(survey)] == ["all_negative"]


def test_all_drivable_scores_a_fourteenth_of_its_prior(batch):
    drivable = (torch.arange(NUM_CLASSES) == 0)[:, None, None]
    survey = _survey(batch, drivable)
    assert survey.result.miou == pytest.approx(0.0319, abs=0.0006)
    assert survey.top == (0, 1.0)
    assert collapsed(survey)
    assert [finding.id for finding in prediction_findings(survey)] == ["collapse"]


def test_the_metric_tests_itself_on_every_sample(batch):
    survey = _survey(batch, batch.classes())
    scores = {name: score.miou for name, score in survey.references.items()}
    assert scores["truth"] == 1.0
    assert scores["all_negative"] == 0.0
    assert scores["all_positive"] == pytest.approx(0.0485, abs=0.001)
    assert scores["drivable_only"] == pytest.approx(0.0319, abs=0.0006)


@pytest.mark.parametrize("name", [change.name for change in AXIS_CHANGES])
def test_axis_changes_differ_and_come_back(name):
    planes = torch.rand(3, 196, 200, generator=torch.Generator().manual_seed(1)) > 0.5
    change = BY_NAME[name]
    once = change.apply(planes)
    assert once.shape == planes.shape
    assert torch.equal(once, planes) == (name == "identity")
    if not change.swap:
        assert torch.equal(change.apply(once), planes)


def test_a_swap_takes_rows_for_columns():
    planes = torch.zeros(1, 196, 200, dtype=torch.bool)
    planes[0, 10:30, 150:190] = True
    swapped = BY_NAME["swapped"].apply(planes)[0]
    rows, cols = swapped.any(dim=1).nonzero(), swapped.any(dim=0).nonzero()
    assert (int(rows.min()), int(rows.max())) == (147, 186)  # 150 and 189, of 200, in 196
    assert (int(cols.min()), int(cols.max())) == (11, 30)
