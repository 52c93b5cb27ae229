"""Priors are counted over visible cells of classes that a place annotates."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.dataset.priors import measured_priors
from diffbev_engine.dataset.records import read_records
from diffbev_engine.evaluate.run import evaluation_in_training, trained_model
from diffbev_engine.prepare.encoding import decode_label, read_label
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.job import TrainingJob
from diffbev_engine.train.train import train


@pytest.mark.parametrize("mask", ["pon", "fov"])
def test_the_share_of_visible_cells_is_counted(tiny_root, mask):
    records = read_records(tiny_root, "train", "front")
    labels = [decode_label(read_label(record.label)) for record in records]
    valid = np.stack([label.valid if mask == "pon" else label.valid_fov for label in labels])
    classes = np.stack([label.classes for label in labels], axis=1)  # 14 x images x rows x cols
    expected = [plane[valid].mean() for plane in classes]
    found = measured_priors(records, mask)
    assert len(found) == NUM_CLASSES
    assert found == pytest.approx(np.clip(expected, 1e-4, 1 - 1e-4))
    assert 0.01 < found[0] < 0.99


def test_a_class_that_nobody_annotated_is_not_counted_where_it_is_not(tiny_root):
    records = read_records(tiny_root, "train", "front")[:2]
    records[0] = replace(records[0], known=np.arange(NUM_CLASSES) > 0)
    label = decode_label(read_label(records[1].label))
    share = measured_priors(records, "pon")[0]
    assert share == pytest.approx(label.classes[0][label.valid].mean())


def test_a_training_measures_them_and_its_checkpoint_holds_the_numbers(tiny_settings, tmp_path):
    content = tiny_settings.model_dump()
    content["model"]["loss"]["priors"] = "measured"
    content["model"]["diffusion"] = {
        **{"target": "layout", "condition": "O", "widths": (8, 8, 8), "groups": 4, "blocks": 1},
        **{"calibrated": True, "fusion": {"type": "add"}},
    }
    content["runner"]["max_iters"] = 1
    settings = Settings.model_validate(content)
    train(TrainingJob(settings, "tiny.py", tmp_path), evaluation_in_training)
    expected = measured_priors(read_records(settings.data_root, "train", "front"), "pon")
    config = json.loads((tmp_path / "run.json").read_text())["config"]
    assert config["model"]["loss"]["priors"] == pytest.approx(expected)
    model, checkpoint = trained_model(
        settings, tmp_path / "latest.pth", Processes(torch.device("cpu"), ALONE).device
    )
    assert checkpoint.priors == pytest.approx(expected)
    assert model.diffusion.priors.tolist() == pytest.approx(expected)
