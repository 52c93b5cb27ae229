"""Training with all three terms: what is logged, that it resumes to the bit, and in two processes."""

import csv

import numpy as np
import pytest
import torch

from diffbev_engine.config.load import dump_config, load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.models.settings import DepthLossSettings, DiffusionSettings, FusionSettings
from diffbev_engine.train.objective import loss_composition, loss_names
from diffbev_engine.train.train import TrainingJob, train
from tests.processes import PATIENCE_S, engine


@pytest.fixture(scope="module")
def settings(tiny_root, tiny_settings, tmp_path_factory) -> Settings:
    """The tiny network with every part of DiffBEV, on a copy of the tiny data with sparse depth."""
    root = tmp_path_factory.mktemp("with_depth")
    for entry in tiny_root.iterdir():
        if entry.name != "ann_bev_dir":
            (root / entry.name).symlink_to(entry)
    (root / "ann_bev_dir").mkdir()
    for split in ("train", "val"):
        (root / "ann_bev_dir" / split).symlink_to(tiny_root / "ann_bev_dir" / split)
        depths = root / "ann_bev_dir" / f"{split}_depth"
        depths.mkdir()
        for number, label in enumerate(sorted((tiny_root / "ann_bev_dir" / split).glob("*.png"))):
            rng = np.random.default_rng(number)
            mask = rng.random((64, 96)) < 0.02
            depth = np.where(mask, rng.uniform(2, 48, (64, 96)), 0).astype(np.float32)
            np.savez_compressed(depths / f"{label.stem}.npz", depth=depth, mask=mask.astype(np.uint8))
    fusion = FusionSettings(heads=2, key_stride=7)
    diffusion = DiffusionSettings(widths=(8, 8, 8), groups=4, blocks=1, fusion=fusion)
    method = {"diffusion": diffusion, "depth_loss": DepthLossSettings()}
    data = tiny_settings.data.model_copy(update={"load_depth": True})
    model = tiny_settings.model.model_copy(update=method)
    intervals = {"checkpoint_config": {"interval": 3, "max_keep_ckpts": 9}, "runner": {"max_iters": 6}}
    return Settings.model_validate(
        {**tiny_settings.model_dump(), **intervals}
        | {"model": model.model_dump(), "data": data.model_dump(), "data_root": root}
    )


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("finished")
    train(TrainingJob(settings, "tiny.py", work_dir), evaluation_in_training)
    return work_dir


def _rows(work_dir, mode="train"):
    with (work_dir / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["mode"] == mode]


def test_terms_are_logged_unweighted_and_loss_is_their_weighted_sum(finished):
    rows = _rows(finished)
    for row in rows:
        total = float(row["Lwce"]) + 10 * float(row["Ldepth"]) + float(row["Ldiff"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)
    assert float(rows[0]["Ldiff"]) == pytest.approx(1, abs=0.02)
    assert float(rows[0]["Ldepth"]) == pytest.approx(0.0577, abs=0.01)  # uniform over 98 bins


def test_the_composition_and_the_depth_errors_are_in_the_log(finished):
    [log] = finished.glob("train_*.log")
    text = log.read_text()
    assert "loss = Lwce + 10·Ldepth + 1·Ldiff" in text
    assert "abs rel" in text


def test_composition_names_what_is_there(settings, tiny_settings):
    assert loss_composition(tiny_settings.model) == "loss = Lwce"
    assert loss_names(tiny_settings.model) == ("Lwce", "loss")
    weighted = settings.model.depth_loss.model_copy(update={"weight": 0.5, "form": "ce"})
    depth_only = settings.model.model_copy(update={"diffusion": None, "depth_loss": weighted})
    assert loss_composition(depth_only) == "loss = Lwce + 0.5·Ldepth"
    assert loss_names(settings.model) == ("Lwce", "Ldepth", "Ldiff", "loss")


def test_the_same_seed_gives_the_same_bits_and_another_does_not(settings, finished, tmp_path):
    train(TrainingJob(settings, "tiny.py", tmp_path / "same"), evaluation_in_training)
    other = settings.model_copy(update={"seed": 1})
    train(TrainingJob(other, "tiny.py", tmp_path / "other"), evaluation_in_training)
    ldiff = [
        [row["Ldiff"] for row in _rows(run)] for run in (finished, tmp_path / "same", tmp_path / "other")
    ]
    assert ldiff[0] == ldiff[1] != ldiff[2]


def test_resuming_gives_the_same_bits(settings, finished, tmp_path):
    job = TrainingJob(settings, "tiny.py", tmp_path, resume=True, resume_from=finished / "iter_3.pth")
    train(job, evaluation_in_training)
    expected, resumed = (
        torch.load(folder / "iter_6.pth", weights_only=True)["model"] for folder in (finished, tmp_path)
    )
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


@pytest.mark.slow
def test_two_gloo_processes_train_every_part(settings, tmp_path):
    config = tmp_path / "diffbev.py"
    config.write_text(dump_config(settings))
    assert load_settings(config) == settings
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    short = ("--set", "runner.max_iters=2", "--set", "evaluation.interval=2")
    run = engine("train", config, "--work-dir", tmp_path / "run", *short, launcher=launcher)
    assert run.wait(PATIENCE_S) == 0, run.stdout.read()
    rows = _rows(tmp_path / "run")
    assert float(rows[0]["Ldiff"]) == pytest.approx(1, abs=0.02)
    assert [int(row["step"]) for row in rows] == [1, 2]
    assert len(torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["random"]) == 2
    assert _rows(tmp_path / "run", "eval")
