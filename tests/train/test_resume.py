"""Stopping and continuing must not change a single bit of the result."""

import csv

import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.evaluate.run import evaluate_checkpoint, evaluation_in_training
from diffbev_engine.train.checkpoint import load_checkpoint
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.settings import EmaSettings
from diffbev_engine.train.train import TrainingJob, build_step, train


@pytest.fixture(scope="module")
def settings(tiny_settings):
    return tiny_settings.model_copy(
        update={
            "data": tiny_settings.data.model_copy(update={"workers_per_gpu": 2}),
            "optimizer_config": tiny_settings.optimizer_config.model_copy(update={"cumulative_iters": 2}),
            "checkpoint_config": tiny_settings.checkpoint_config.model_copy(
                update={"interval": 1, "max_keep_ckpts": 9}
            ),
            "log_config": tiny_settings.log_config.model_copy(update={"interval": 2}),
            "ema": EmaSettings(decay=0.7),
        }
    )


@pytest.fixture(scope="module")
def uninterrupted(settings, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("uninterrupted")
    train(TrainingJob(settings, "tiny.py", work_dir), evaluation_in_training)
    return work_dir


# 8 samples, 4 an iteration: 1 and 3 are in the middle of an epoch and of a log interval, 2 and 4 at ends.
@pytest.mark.slow
@pytest.mark.parametrize("iteration", [1, 2, 3, 4])
def test_resuming_gives_the_same_bits(settings, uninterrupted, tmp_path, iteration):
    job = TrainingJob(
        settings, "tiny.py", tmp_path, resume=True, resume_from=uninterrupted / f"iter_{iteration}.pth"
    )
    train(job, evaluation_in_training)

    expected, resumed = (
        torch.load(folder / "iter_6.pth", weights_only=True) for folder in (uninterrupted, tmp_path)
    )
    assert _identical(expected, resumed)
    assert _losses(tmp_path) == {
        step: row for step, row in _losses(uninterrupted).items() if int(step) > iteration
    }


def test_an_average_of_the_weights_is_kept_and_scored(settings, uninterrupted):
    saved = [torch.load(uninterrupted / f"iter_{n}.pth", weights_only=True) for n in range(1, 7)]
    name = "head.stage1.0.conv1.weight"
    average = saved[0]["model"][name]
    for number, each in enumerate(saved[1:], 2):
        average = torch.lerp(average, each["model"][name], 1 - min(0.7, 1 - number ** (-2 / 3)))
        torch.testing.assert_close(each["ema"][name], average)
    assert (average - each["model"][name]).abs().max() > 1e-5
    last, alone = uninterrupted / "iter_6.pth", Processes(torch.device("cpu"), ALONE)
    step = build_step(settings, alone, resuming=True)
    step.load_state(load_checkpoint(last), last)
    assert torch.equal(step.evaluated_model.state_dict()[name], each["ema"][name])
    scored = evaluate_checkpoint(settings, last, "val", alone).rows[0].first
    assert scored.provenance["weights"] == "moving average"


def test_rows_after_the_checkpoint_are_written_once(settings, tmp_path):
    short = settings.model_copy(update={"runner": settings.runner.model_copy(update={"max_iters": 2})})
    train(TrainingJob(short, "tiny.py", tmp_path), evaluation_in_training)
    for name in ("latest.pth", "iter_2.pth"):
        (tmp_path / name).unlink()

    train(TrainingJob(short, "tiny.py", tmp_path, resume=True), evaluation_in_training)

    assert list(_losses(tmp_path)) == ["2"]


def test_a_second_start_sets_the_first_run_aside(tiny_settings, tmp_path):
    one = tiny_settings.model_copy(
        update={"runner": tiny_settings.runner.model_copy(update={"max_iters": 1})}
    )
    train(TrainingJob(one, "tiny.py", tmp_path), evaluation_in_training)
    train(TrainingJob(one, "tiny.py", tmp_path), evaluation_in_training)

    [aside] = tmp_path.glob("previous_*")
    assert {path.name for path in aside.iterdir()} >= {"metrics.csv", "iter_1.pth", "latest.pth", "run.json"}
    assert (tmp_path / "iter_1.pth").exists()


def test_a_checkpoint_of_another_architecture_is_refused(tiny_settings, uninterrupted, tmp_path):
    lift = tiny_settings.model.lift.model_copy(update={"channels": 12})
    other = tiny_settings.model_copy(update={"model": tiny_settings.model.model_copy(update={"lift": lift})})
    job = TrainingJob(other, "tiny.py", tmp_path, resume=True, resume_from=uninterrupted / "latest.pth")

    with pytest.raises(UsageError, match="another architecture"):
        train(job, evaluation_in_training)


def test_a_damaged_checkpoint_is_named(tiny_settings, uninterrupted, tmp_path):
    damaged = tmp_path / "latest.pth"
    damaged.write_bytes((uninterrupted / "latest.pth").read_bytes()[:-500])

    with pytest.raises(DiffBEVError, match=r"latest\.pth cannot be read as a checkpoint"):
        train(TrainingJob(tiny_settings, "tiny.py", tmp_path, resume=True), evaluation_in_training)


def _losses(work_dir):
    rows = csv.DictReader((work_dir / "metrics.csv").open())
    columns = ("loss", "Lwce", "lr", "grad_norm")
    return {row["step"]: [row[name] for name in columns] for row in rows if row["mode"] == "train"}


def _identical(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_identical, a, b))
    return a == b
