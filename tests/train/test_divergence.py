"""A loss that is not finite ends the run with its name, its step and exit code 4."""

import json

import pytest
import torch

from diffbev_engine.core.errors import DivergedError, ExitCode
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.train.meter import Meter
from diffbev_engine.train.train import TrainingJob, train


def test_a_learning_rate_beyond_reason_is_reported(tiny_settings, tmp_path):
    optimizer = tiny_settings.optimizer.model_copy(update={"lr": 1e30})
    lr_config = tiny_settings.lr_config.model_copy(update={"warmup": None})
    wild = tiny_settings.model_copy(update={"optimizer": optimizer, "lr_config": lr_config})

    with pytest.raises(DivergedError, match=r"at step 2: Lwce is NaN or infinite") as caught:
        train(TrainingJob(wild, "tiny.py", tmp_path), evaluation_in_training)

    assert caught.value.exit_code == ExitCode.DIVERGED
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "diverged"
    assert not list(tmp_path.glob("iter_*.pth"))


def test_the_first_bad_step_and_term_are_named():
    meter = Meter(("Lwce", "Ldiff", "loss"), torch.device("cpu"), guard_grad_norm=True)
    one, nan = torch.tensor(1.0), torch.tensor(float("nan"))
    meter.add(7, {"Lwce": one, "Ldiff": one, "loss": one}, one)
    meter.add(8, {"Lwce": one, "Ldiff": nan, "loss": nan}, nan)
    meter.add(9, {"Lwce": nan, "Ldiff": nan, "loss": nan}, nan)

    with pytest.raises(DivergedError, match="at step 8: Ldiff is"):
        meter.check()


def test_means_cover_one_interval():
    meter = Meter(("loss",), torch.device("cpu"), guard_grad_norm=True)
    for step, value in enumerate([1.0, 3.0], start=1):
        meter.add(step, {"loss": torch.tensor(value)}, torch.tensor(0.5))
    meter.publish(2, {"lr": 0.1})
    meter.add(3, {"loss": torch.tensor(8.0)}, torch.tensor(0.25))
    meter.publish(3, {"lr": 0.2})

    first, second = meter.readings(wait=True)
    assert (first.step, first.means, first.grad_norm, first.extra) == (2, {"loss": 2.0}, 0.5, {"lr": 0.1})
    assert (second.step, second.means, second.grad_norm) == (3, {"loss": 8.0}, 0.25)


def test_overflow_under_a_loss_scaler_is_no_divergence():
    meter = Meter(("loss",), torch.device("cpu"), guard_grad_norm=False)
    meter.add(1, {"loss": torch.tensor(1.0)}, torch.tensor(float("inf")))
    meter.check()
