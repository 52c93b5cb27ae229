"""A batch that the GPU cannot hold ends the run with exit code 3, a report and what to change."""

# ruff: noqa: E501 – the message stays as it was written

import json
from datetime import datetime

import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError, ExitCode, OutOfGPUMemoryError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.models.model import BEVModel
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.loop import TrainingLoop
from diffbev_engine.train.out_of_memory import is_out_of_gpu_memory, is_out_of_host_memory
from diffbev_engine.train.train import TrainingJob, train

MESSAGE = (
    "CUDA out of memory. Tried to allocate 938.00 MiB. GPU 0 has a total capacity of 5.60 GiB of which 49.44 MiB "
    "is free. Process 12622 has 948.00 MiB memory in use. Including non-PyTorch memory, this process has 4.06 GiB "
    "memory in use. Of the allocated memory 3.73 GiB is allocated by PyTorch, and 233.73 MiB is reserved by PyTorch"
    " but unallocated."
)


def _out_of_memory(*_arguments, **_keywords):
    raise torch.OutOfMemoryError(MESSAGE)


def test_the_wordings_of_other_libraries_are_known(monkeypatch):
    for words in (
        "CUDA error: out of memory",
        "Triton Error [CUDA]: out of memory",
        "CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert is_out_of_gpu_memory(RuntimeError(words)), words
    assert not is_out_of_gpu_memory(RuntimeError("CUDA error: device-side assert triggered"))
    vague = RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR")
    assert not is_out_of_gpu_memory(vague), "no GPU is full here"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for free, full in ((1, True), (50, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, 100))
        assert is_out_of_gpu_memory(vague) is full


def test_refused_host_memory_is_told_from_gpu_memory():
    for error in (
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
        OSError(12, "Cannot allocate memory"),
    ):
        assert is_out_of_host_memory(error), error
        assert not is_out_of_gpu_memory(error), error


def _train(settings, folder, **job):
    with pytest.raises(OutOfGPUMemoryError) as caught:
        train(TrainingJob(settings, "tiny.py", folder, **job), evaluation_in_training)
    assert caught.value.exit_code == ExitCode.OUT_OF_GPU_MEMORY == 3
    return json.loads((folder / "oom_report.json").read_text()), str(caught.value)


def test_the_message_names_the_settings_to_lower(tiny_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(BEVModel, "forward", _out_of_memory)
    _, message = _train(tiny_settings, tmp_path)
    assert "938.00 MiB" in message
    assert "data.samples_per_gpu" in message
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "oom"


def test_the_report_says_what_and_where_and_what_to_change(tiny_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(BEVModel, "forward", _out_of_memory)
    report, _ = _train(tiny_settings, tmp_path)
    assert report["message"] == MESSAGE
    assert report["parsed"]["requested"] == 938
    assert report["parsed"]["capacity"] == pytest.approx(5.6 * 1024)
    assert report["parsed"]["others"] == [[12622, 948]]
    assert (report["phase"], report["step"], report["steps_that_worked"]) == ("forward", 0, 0)
    assert report["batch"]["samples_per_gpu"] == 2
    assert [remedy["id"] for remedy in report["remedies"]] == ["others", "bf16", "micro_batch", "recompute"]
    assert (
        report["remedies"][2]["arguments"]
        == "--set data.samples_per_gpu=1 --set optimizer_config.cumulative_iters=2"
    )
    log = next(tmp_path.glob("train_*.log")).read_text()
    assert "--set data.samples_per_gpu=1" in log


@pytest.mark.parametrize(
    ("owner", "name", "phase", "step"),
    [
        (torch.nn.functional, "binary_cross_entropy_with_logits", "forward", 0),
        (torch.autograd, "backward", "backward", 0),
        (torch.nn.utils, "clip_grad_norm_", "optimizer", 0),
        (TrainingLoop, "_after_evaluated_batch", "evaluation", 3),
    ],
)
def test_the_phase_is_told(tiny_settings, tmp_path, monkeypatch, owner, name, phase, step):
    monkeypatch.setattr(owner, name, _out_of_memory)
    report, _ = _train(tiny_settings, tmp_path)
    assert (report["phase"], report["step"]) == (phase, step)


def test_evaluation_that_does_not_fit_gets_a_smaller_batch_of_its_own(tiny_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingLoop, "_after_evaluated_batch", _out_of_memory)
    report, _ = _train(tiny_settings, tmp_path)
    assert report["checkpoint"] == "latest.pth"
    arguments = [remedy["arguments"] for remedy in report["remedies"]]
    assert arguments[1] == "--set evaluation.samples_per_gpu=1"


def test_errors_of_other_libraries_count_too(tiny_settings, tmp_path, monkeypatch):
    def cublas(*_arguments, **_keywords):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(BEVModel, "forward", cublas)
    report, _ = _train(tiny_settings, tmp_path)
    assert report["parsed"] is None
    assert "micro_batch" in [remedy["id"] for remedy in report["remedies"]]


def test_host_memory_is_told_apart(tiny_settings, tmp_path, monkeypatch):
    def refused(*_arguments, **_keywords):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(BEVModel, "forward", refused)
    with pytest.raises(DiffBEVError, match="RAM, not GPU") as caught:
        train(TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)
    assert caught.value.exit_code == ExitCode.FAILED
    assert not (tmp_path / "oom_report.json").exists()


def test_a_resumed_run_no_longer_shows_the_report_of_an_earlier_start(tiny_settings, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(TrainingLoop, "_after_evaluated_batch", _out_of_memory)
        _train(tiny_settings, tmp_path)
    train(TrainingJob(tiny_settings, "tiny.py", tmp_path, resume=True), evaluation_in_training)
    assert not (tmp_path / "oom_report.json").exists()
    assert (tmp_path / "oom_report.previous.json").exists()


def test_a_new_run_sets_the_report_aside(tiny_settings, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(BEVModel, "forward", _out_of_memory)
        _train(tiny_settings, tmp_path)
    RunFolder(tmp_path).set_aside(datetime(2026, 1, 1))
    assert (tmp_path / "previous_20260101_000000" / "oom_report.json").exists()


def test_a_report_that_cannot_be_written_does_not_hide_the_error(tiny_settings, tmp_path, monkeypatch):
    (tmp_path / "oom_report.json").mkdir()
    monkeypatch.setattr(BEVModel, "forward", _out_of_memory)
    with pytest.raises(OutOfGPUMemoryError, match=r"938\.00 MiB"):
        train(TrainingJob(tiny_settings, "tiny.py", tmp_path), evaluation_in_training)
