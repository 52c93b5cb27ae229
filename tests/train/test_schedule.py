"""The learning rate that is applied is the one that is configured."""

import csv

import pytest

from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.train.optimizer import learning_rate
from diffbev_engine.train.settings import LrSettings
from diffbev_engine.train.train import TrainingJob, train


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 2e-4 * 1e-6),
        (750, 2e-4 * (1 - 750 / 200_000) * (1 - 0.5 * (1 - 1e-6))),
        (1500, 2e-4 * (1 - 1500 / 200_000)),
        (100_000, 1e-4),
        (199_999, 2e-4 / 200_000),
    ],
)
def test_warm_up_then_linear_to_zero(iteration, expected):
    assert learning_rate(iteration, 2e-4, 200_000, LrSettings()) == pytest.approx(expected, rel=1e-9)


def test_the_schedule_reaches_the_optimizer(tiny_settings, tmp_path):
    train(TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)

    rows = csv.DictReader((tmp_path / "metrics.csv").open())
    logged = [float(row["lr"]) for row in rows if row["mode"] == "train"]
    base = tiny_settings.optimizer.lr
    expected = [learning_rate(step, base, 6, tiny_settings.lr_config) for step in range(6)]
    assert logged == pytest.approx(expected, rel=1e-5)
