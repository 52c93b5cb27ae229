"""A batch that the GPU cannot hold ends the run with exit code 3 and what to change."""

import json

import pytest
import torch

from diffbev_engine.errors import ExitCode, OutOfGPUMemoryError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.train.experiment import TrainingJob, train
from diffbev_engine.train.step import TrainingStep


def test_the_message_names_the_settings_to_lower(tiny_settings, tmp_path, monkeypatch):
    def out_of_memory(*_arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 938.00 MiB.")

    monkeypatch.setattr(TrainingStep, "run", out_of_memory)
    with pytest.raises(OutOfGPUMemoryError, match=r"938\.00 MiB.*data\.samples_per_gpu") as caught:
        train(TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)

    assert caught.value.exit_code == ExitCode.OUT_OF_GPU_MEMORY == 3
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "oom"
