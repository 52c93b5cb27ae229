"""A loader process that dies ends the run with one message and a checkpoint."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.train import step as step_module
from diffbev_engine.train.train import TrainingJob, train
from diffbev_engine.train.workers import dead_worker, is_dead_worker


def test_what_torch_says_of_a_dead_worker_is_told_with_what_to_do():
    told = {
        "DataLoader worker (pid 12) is killed by signal: Killed. ": "the host ran out of memory",
        "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that": "--shm-size",
        "DataLoader worker (pid 12) is killed by signal: Segmentation fault. ": "workers_per_gpu=0",
        "DataLoader worker (pid(s) 1, 2) exited unexpectedly": "workers_per_gpu=0",
        "DataLoader worker (pid 7) exited unexpectedly with exit code 1. Details": "workers_per_gpu=0",
    }
    for text, advice in told.items():
        assert is_dead_worker(RuntimeError(text))
        assert advice in str(dead_worker(RuntimeError(text)))
    for cut_off in (ConnectionResetError(104, "Connection reset by peer"), EOFError()):
        assert is_dead_worker(cut_off), "it ended while it handed over a batch"
        assert "a data loading process ended" in str(dead_worker(cut_off))
    assert not is_dead_worker(RuntimeError("CUDA out of memory"))
    assert not is_dead_worker(OSError("DataLoader worker (pid 12) is killed by signal: Killed. "))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_leaves_a_checkpoint_of_whole_iterations(
    tiny_settings, tmp_path, monkeypatch, number
):
    settings = tiny_settings.model_copy(
        update={
            "data": tiny_settings.data.model_copy(update={"workers_per_gpu": 1}),
            "runner": tiny_settings.runner.model_copy(update={"max_iters": 50}),
            "checkpoint_config": tiny_settings.checkpoint_config.model_copy(update={"interval": 50}),
            "evaluation": tiny_settings.evaluation.model_copy(update={"interval": 50}),
        }
    )
    run = step_module.TrainingStep.run

    def run_and_kill(self, iteration, batches):
        if iteration == 2:  # within an iteration, where torch's handler would raise
            for child in psutil.Process().children():
                os.kill(child.pid, number)
                child.wait(10)
        return run(self, iteration, batches)

    monkeypatch.setattr(step_module.TrainingStep, "run", run_and_kill)
    with pytest.raises(
        DiffBEVError, match=r"a data loading process was killed.* Training stopped at iteration 3"
    ):
        train(TrainingJob(settings, "tiny.py", Path(tmp_path)), evaluation_in_training)

    saved = torch.load(tmp_path / "latest.pth", weights_only=True)
    assert saved["iteration"] == 3
    assert {int(state["step"]) for state in saved["optimizer"]["state"].values()} == {3}
