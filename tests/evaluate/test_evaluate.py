"""Evaluation of a model over a split: both masks, no growth, the same twice."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.loader import BEVDataset, evaluation_loader
from diffbev_engine.dataset.order import ALONE, Shard
from diffbev_engine.dataset.records import read_records
from diffbev_engine.evaluate.evaluate import evaluate
from diffbev_engine.evaluate.run import evaluate_model
from diffbev_engine.models.model import ModelOutput, build_model
from diffbev_engine.train.distributed import Processes

CPU = torch.device("cpu")


@pytest.fixture
def records(tiny_root):
    return read_records(tiny_root, "val", "front")


def _batches(records, settings, shard=ALONE):
    return evaluation_loader(BEVDataset(records, settings.data), 2, workers=0, shard=shard)


def _truth(batch):
    return ModelOutput(torch.where(batch.classes(), 10.0, -10.0), torch.zeros(len(batch.tokens), 1, 1, 1))


def _evaluate(batches, main_mask="pon", **options):
    return evaluate(_truth, batches, CPU, samples=5, main_mask=main_mask, provenance={}, **options)


def test_every_mask_is_reported(records, tiny_settings):
    result = _evaluate(_batches(records, tiny_settings))
    assert result.masks.keys() == {"pon", "fov", "unseen"}
    cells = {name: mask.cells[0] for name, mask in result.masks.items()}
    assert cells["fov"] > cells["pon"] > 0
    assert cells["unseen"] == cells["fov"] - cells["pon"]
    assert result.main.miou == 1.0
    report = json.loads(json.dumps(result.to_json()))
    assert report["masks"]["fov"]["IoU"]["car"] == 1.0
    assert report["masks"]["pon"]["IoU"]["bus"] is None


def test_labels_without_a_field_of_view_bit_report_one_mask(records, tiny_settings):
    def without_bit(batches):
        for batch in batches:
            yield dataclasses.replace(batch, label=batch.label & ~(1 << 15))

    assert _evaluate(without_bit(_batches(records, tiny_settings))).masks.keys() == {"pon"}
    with pytest.raises(DiffBEVError, match="no field-of-view mask"):
        _evaluate(without_bit(_batches(records, tiny_settings)), main_mask="fov")


def test_every_sample_is_counted_once_over_processes(records, tiny_settings):
    whole = _evaluate(_batches(records, tiny_settings)).main.counts
    shards = [_evaluate(_batches(records, tiny_settings, Shard(rank, 2))).main.counts for rank in (0, 1)]
    for one, *parts in zip(whole, *shards, strict=True):
        assert one.true_positive == sum(part.true_positive for part in parts)


def test_processes_see_equally_many_batches(records, tiny_settings):
    lengths = [len(list(_batches(records[:3], tiny_settings, Shard(rank, 4)))) for rank in range(4)]
    assert lengths == [1, 1, 1, 1]


def test_two_evaluations_agree_to_the_last_digit(records, tiny_settings):
    model = build_model(tiny_settings.model, tiny_settings.data.image_size).train()
    _perturb(model)
    alone = Processes(CPU, ALONE)
    first, second = (evaluate_model(model, tiny_settings, records, "val", alone) for _ in range(2))
    assert first.masks == second.masks
    assert model.training


def test_the_untrained_model_predicts_nothing(records, tiny_settings):
    model = build_model(tiny_settings.model, tiny_settings.data.image_size)
    result = evaluate_model(model, tiny_settings, records, "val", Processes(CPU, ALONE))
    assert result.main.miou == 0.0
    assert all(count.predicted == 0 for count in result.main.counts)


def _perturb(model: nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


def test_the_callback_can_stop_the_evaluation(records, tiny_settings):
    class Stop(Exception):
        pass

    seen = []

    def stop_at_four(images):
        seen.append(images)
        if images == 4:
            raise Stop

    with pytest.raises(Stop):
        _evaluate(_batches(records, tiny_settings), after_batch=stop_at_four)
    assert seen == [2, 4]
