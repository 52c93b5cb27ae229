"""A run from start to end, in this process: files, rows, checkpoints."""

import csv
import json
import logging

from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.runs.metrics.file import COLUMNS
from diffbev_engine.train.train import TrainingJob, train


def test_a_run_leaves_its_files(tiny_settings, tmp_path):
    train(TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)

    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert tuple(rows[0]) == COLUMNS
    training = [row for row in rows if row["mode"] == "train"]
    assert [int(row["step"]) for row in training] == [1, 2, 3, 4, 5, 6]
    assert [int(row["step"]) for row in rows if row["mode"] == "eval"] == [3, 6]
    assert all(float(row["Lwce"]) == float(row["loss"]) and row["Ldepth"] == "" for row in training)
    assert float(training[-1]["Lwce"]) < float(training[0]["Lwce"])
    assert rows[-1]["step"] == "6"
    assert {path.name for path in tmp_path.glob("*.pth")} == {
        *("iter_4.pth", "iter_6.pth", "latest.pth", "best_mIoU.pth")
    }
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["step"]) == ("finished", 6)
    assert len(list(tmp_path.glob("train_*.log"))) == 1
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 0


def test_the_logger_is_given_back_when_a_run_ends(tiny_settings, tmp_path):
    one = tiny_settings.model_copy(
        update={"runner": tiny_settings.runner.model_copy(update={"max_iters": 1})}
    )
    train(TrainingJob(one, "tiny.py", tmp_path), evaluation_in_training)

    package = logging.getLogger("diffbev_engine")
    assert (package.level, package.propagate, package.handlers) == (logging.NOTSET, True, [])
