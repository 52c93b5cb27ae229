"""What would keep a run off its GPU is told before it starts."""

import json
import os
from types import SimpleNamespace

import pytest
import torch

from diffbev_engine import demo
from diffbev_engine.core.gpu.reading import Gpu
from diffbev_engine.core.gpu.select import ORDER, VISIBLE
from diffbev_engine.findings import gpu, gpu_memory
from diffbev_engine.findings.finding import Severity
from diffbev_engine.findings.memory.curve import MEMORY_FILE, MemoryCurve, MemoryLine
from diffbev_engine.findings.plan import Plan
from tests.fake_nvml import card, error, install, process


@pytest.fixture
def plan(root, tiny_settings, tmp_path, monkeypatch):
    for name in (VISIBLE, ORDER, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return Plan(tiny_settings.model_copy(update={"data_root": root}), "tiny.py", tmp_path / "run")


@pytest.fixture
def works(monkeypatch):
    """A PyTorch for CUDA 13.0 that can use the GPUs."""
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (True, ""))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90", "sm_120"])


def _with_ids(plan, *ids):
    return Plan(plan.settings, plan.config, plan.folder.path, ids)


def _found(plan):
    return [(each.severity.value, each.title.en) for each in gpu.cuda(plan)]


def _errors(plan):
    return [each.title.en for each in gpu.cuda(plan) if each.severity is Severity.ERROR]


def test_without_a_gpu_it_says_so_and_goes_on(plan, monkeypatch):
    for trouble in ("LibraryNotFound", "DriverNotLoaded"):
        install(monkeypatch, init=error(trouble))
        monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (False, ""))
        [(level, words)] = _found(plan)
        assert level == "warning"
        assert "on the CPU" in words
        assert next(gpu_memory.gpu_memory(plan)).severity is Severity.OK


def test_a_broken_driver_is_an_error_unless_pytorch_works_all_the_same(plan, monkeypatch):
    install(monkeypatch, init=error("LibRmVersionMismatch"))
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (False, ""))
    [words] = _errors(plan)
    assert "the GPU driver does not work" in words
    assert "different versions" in words
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (True, ""))
    [(level, words)] = _found(plan)
    assert level == "warning"
    assert "PyTorch can use a GPU" in words


def test_training_on_the_cpu_can_be_chosen_whatever_is_wrong_with_the_gpu(plan, monkeypatch):
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (False, ""))
    monkeypatch.setenv(VISIBLE, "")
    for cards, init in (
        ((card(handle=error("GpuIsLost")),), None),
        ((), error("Unknown")),
        ((card(),), None),
    ):
        install(monkeypatch, *cards, init=init)
        assert [level for level, _ in _found(plan)] == ["warning"]


@pytest.mark.usefixtures("works")
def test_gpus_without_memory_figures_count_as_gpus(plan, monkeypatch):
    for answers in ({"MemoryInfo": error("NotSupported")}, {"MemoryInfo": error("NoPermission")}):
        install(monkeypatch, card(**answers))
        assert _found(plan) == [("ok", "PyTorch can use the GPU: NVIDIA H100 80GB HBM3")]
    [room] = gpu_memory.gpu_memory(plan)
    assert room.severity is Severity.WARNING
    assert "free memory cannot be read" in room.title.en


@pytest.mark.usefixtures("works")
def test_unified_memory_is_that_of_the_host(plan):
    unified = Gpu(0, "NVIDIA GB10", total_mib=122880, free_mib=100, unified=True)
    settings = plan.settings.model_copy(
        update={"model": plan.settings.model.model_copy(update={"backbone": _swin(plan)})}
    )
    room = gpu_memory.judge_room(Plan(settings, "tiny.py", plan.folder.path), unified)
    assert room.severity is Severity.ERROR
    assert "unified memory" in room.title.en


def _swin(plan):
    return plan.settings.model.backbone.model_copy(update={"name": "swin_tiny_patch4_window7_224"})


@pytest.mark.usefixtures("works")
def test_the_visible_gpus_are_checked_and_no_others(plan, monkeypatch):
    full = card(0, MemoryInfo=SimpleNamespace(total=80 * 2**30, used=80 * 2**30, free=0))
    install(monkeypatch, full, card(1, Name="second"))
    monkeypatch.setenv(VISIBLE, "1")
    monkeypatch.setenv(ORDER, "PCI_BUS_ID")
    assert _found(plan) == [("ok", "PyTorch can use the GPU: second")]
    [room] = gpu_memory.gpu_memory(plan)
    assert room.where == "GPU 1 second"
    assert "70.0 GiB / 80.0 GiB free" in room.title.en


@pytest.mark.usefixtures("works")
def test_an_invalid_gpu_id_is_answered_with_the_valid_ones(plan, monkeypatch):
    install(monkeypatch, card(0), card(1))
    assert _errors(_with_ids(plan, 0, 3)) == ["there is no GPU 3: visible are 0, 1"]
    monkeypatch.setenv(VISIBLE, "1")
    assert _errors(_with_ids(plan, 1)) == [
        "there is no GPU 1: only GPU 0 is visible (CUDA_VISIBLE_DEVICES=1)"
    ]


@pytest.mark.usefixtures("works")
def test_hiding_the_gpus_on_purpose_is_no_error_and_by_mistake_is_one(plan, monkeypatch):
    install(monkeypatch, card(0), card(1))
    for value, level in (("", "warning"), ("-1", "warning"), ("7", "error"), ("GPU-xyz", "error")):
        monkeypatch.setenv(VISIBLE, value)
        [(found, words)] = _found(plan)
        assert (found, VISIBLE in words) == (level, True)
    monkeypatch.setenv(VISIBLE, "0,7")
    assert ("warning", "CUDA ignores 7 in CUDA_VISIBLE_DEVICES") in _found(plan)


@pytest.mark.usefixtures("works")
def test_a_lost_gpu_is_a_warning_beside_a_good_one_and_an_error_alone(plan, monkeypatch):
    install(monkeypatch, card(handle=error("GpuIsLost")), card(1))
    [(level, words)] = _found(plan)
    assert level == "warning"
    assert "GPU 0 is lost" in words
    install(monkeypatch, card(handle=error("GpuIsLost")))
    assert len(_errors(plan)) == 1


@pytest.mark.usefixtures("works")
def test_modes_processes_and_damage_that_stop_a_run(plan, monkeypatch):
    busy = [process(2**22 + 7)]
    for answers, level, words in (
        ({"ComputeMode": 2}, "error", "compute mode Prohibited"),
        ({"ComputeMode": 3, "ComputeRunningProcesses": busy}, "error", "exclusive mode and in use by"),
        ({"ComputeMode": 3}, "ok", "can use"),
        ({"ComputeRunningProcesses": busy}, "ok", "can use"),
        ({"RemappedRows": (0, 9, 0, 1)}, "error", "cannot be remapped"),
        ({"RemappedRows": (0, 1, 1, 0)}, "warning", "uncorrectable ECC errors"),
        ({"TotalEccErrors": 2}, "warning", "uncorrectable ECC errors (2)"),
        ({"CudaComputeCapability": (7, 0)}, "error", "does not support GPU 0 (sm_70)"),
    ):
        install(monkeypatch, card(**answers))
        found = _found(plan)
        assert found[0][0] == level
        assert words in found[0][1]


@pytest.mark.usefixtures("works")
def test_models_that_cuda_may_order_otherwise_are_named(plan, monkeypatch):
    install(monkeypatch, card(0, Name="T4"), card(1))
    [(level, words)] = _found(plan)
    assert (level, "different GPU models" in words) == ("warning", True)
    monkeypatch.setenv(ORDER, "PCI_BUS_ID")
    assert _found(plan)[0][0] == "ok"


def test_what_pytorch_says_of_a_gpu_that_it_cannot_use_is_repeated(plan, monkeypatch):
    install(monkeypatch, card())
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (False, "Error 802: system not yet initialized"))
    [words] = _errors(plan)
    assert words.endswith("PyTorch cannot use it: Error 802: system not yet initialized")
    monkeypatch.setattr(torch.version, "cuda", "14.1")
    [words] = _errors(plan)
    assert "the NVIDIA driver is too old" in words


def test_torch_is_held_against_the_driver():
    for built_for, driver, usable, levels in (
        ("13.0", (12, 8), False, ["error"]),
        ("13.0", (12, 8), True, ["warning"]),
        ("13.2", (13, 0), True, ["warning"]),
        ("12.8", (13, 0), True, []),
        ("12.8", None, False, []),
        (None, (13, 0), False, ["error"]),
        (None, None, True, []),
    ):
        found = gpu.judge_cuda(built_for, driver, "", usable)
        assert [each.severity.value for each in found] == levels


@pytest.mark.parametrize(
    ("capability", "known", "levels"),
    [
        ((9, 0), ["sm_80", "sm_90"], []),
        ((8, 9), ["sm_80", "sm_86"], []),
        ((12, 0), ["sm_80", "sm_90"], ["error"]),
        ((12, 0), ["sm_90", "compute_90"], []),
        ((7, 5), ["sm_75"], ["warning"]),
        ((6, 1), ["sm_75"], ["error", "warning"]),
    ],
)
def test_the_kernels_of_torch_are_held_against_the_gpu(capability, known, levels):
    found = gpu.judge_architecture(0, capability, known, "bf16", "")
    assert [each.severity.value for each in found] == levels


def test_a_measured_curve_counts_more_than_the_estimate(plan):
    curve = MemoryCurve(
        *("tiny.py", "GPU", "gpu", "fp32", "auto", (64, 96), 8000.0, 8000.0, 2, 8, ()),
        line=MemoryLine(1000, 500, 1.0, 0.0),
        predicted=12,
        largest=8,
    )
    plan.folder.path.mkdir()
    (plan.folder.path / MEMORY_FILE).write_text(json.dumps(curve.to_json()))
    assert gpu_memory.planned_memory(plan)[0] == 2000
    found = {
        free: gpu_memory.judge_room(plan, Gpu(0, "card", total_mib=8192, free_mib=free)).severity.value
        for free in (1024, 2048, 4096)
    }
    assert found == {1024: "error", 2048: "warning", 4096: "ok"}


def test_the_demo_runs_on_the_cpu_where_the_gpu_is_unusable(monkeypatch):
    monkeypatch.setenv(VISIBLE, "0")  # remembers what to restore
    for usable, hidden in ((False, ""), (True, None)):
        monkeypatch.delenv(VISIBLE, raising=False)
        install(monkeypatch, card())
        monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda usable=usable: (usable, ""))
        demo._leave_out_unusable_gpus()
        assert os.environ.get(VISIBLE) == hidden
    monkeypatch.setenv(VISIBLE, "0")
    monkeypatch.setattr(gpu, "torch_can_use_cuda", lambda: (False, ""))
    demo._leave_out_unusable_gpus()
    assert os.environ[VISIBLE] == "0", "what the user chose stays"
