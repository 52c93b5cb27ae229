"""Faults of compiler, driver and GPU end a run with one line; a defect keeps its traceback."""

import pytest
import torch

from diffbev_engine.core.bilingual import same
from diffbev_engine.core.errors import DiffBEVError, ExitCode, OutOfGPUMemoryError
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.train import distributed, failure
from diffbev_engine.train.failure import as_failure, is_known


class InductorError(RuntimeError):
    pass


MISSING = (
    same("no C compiler found"),
    Remedy(same("install build-essential: sudo apt install build-essential")),
)


def test_compiler_and_driver_faults_are_told_in_a_line_with_what_to_do(monkeypatch):
    monkeypatch.setattr(failure, "missing_for_compile", lambda **_known: None)
    for error, words, advice in (
        (
            InductorError("RuntimeError: Failed to find C compiler. Please specify via CC\n" + "x\n" * 100),
            "Failed to find C compiler",
            "--set compile=off",
        ),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel"),
            "no kernel image",
            "PyTorch build",
        ),
        (
            getattr(torch, "AcceleratorError", RuntimeError)(
                "CUDA error: uncorrectable ECC error encountered"
            ),
            "uncorrectable ECC error",
            "dmesg",
        ),
        (
            RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
            "busy or unavailable",
            "nvidia-smi",
        ),
    ):
        assert is_known(error)
        message = str(as_failure(error))
        assert words in message
        assert advice in message
        assert "\n" not in message


def test_what_the_compiler_lacks_here_is_named(monkeypatch):
    monkeypatch.setattr(failure, "missing_for_compile", lambda **_known: MISSING)
    error = InductorError(
        "InvalidCxxCompiler: No working C++ compiler found in config.cpp.cxx: (None, 'g++')"
    )
    assert str(as_failure(error)) == (
        "no C compiler found. To fix it, install build-essential: sudo apt install build-essential, "
        "or use --set compile=off."
    )


def test_any_other_error_is_a_defect():
    assert not is_known(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))


@pytest.mark.parametrize(
    ("words", "raised", "code"),
    [
        ("CUDA error: all CUDA-capable devices are busy or unavailable\nmore", DiffBEVError, ExitCode.FAILED),
        ("CUDA error: out of memory", OutOfGPUMemoryError, ExitCode.OUT_OF_GPU_MEMORY),
    ],
)
def test_a_gpu_that_the_driver_refuses_is_one_message(monkeypatch, words, raised, code):
    def refuse(_device):
        raise RuntimeError(words)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", refuse)
    with pytest.raises(raised, match=r"cannot use GPU 1: CUDA error: [a-zA-Z -]+\. See") as caught:
        distributed.join_processes((1,))
    assert caught.value.exit_code is code
