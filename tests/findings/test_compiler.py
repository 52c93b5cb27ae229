"""``compile=`` is refused beforehand where nothing can compile, with what to install."""

import os
from pathlib import Path

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.findings import machine
from diffbev_engine.findings.compiler import missing_for_compile, missing_libcuda
from diffbev_engine.findings.plan import Plan


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A directory of programs, and one with Python.h; no conda."""
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").touch()
    (tmp_path / "bin").mkdir()
    return tmp_path


def _program(tools, name, script="exit 0"):
    path = tools / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _missing(tools, *, on_gpu, **environment):
    known = {"PATH": str(tools / "bin"), **environment}
    return missing_for_compile(on_gpu=on_gpu, environment=known, include=tools / "include")


def test_the_gpu_needs_a_c_compiler_and_the_cpu_one_for_cpp(tools):
    for on_gpu, language in ((True, "no C compiler found (gcc, clang)"), (False, "no C++ compiler found")):
        what, remedy = _missing(tools, on_gpu=on_gpu)
        assert what.en.startswith(language)
        assert remedy.command == "sudo apt install build-essential"
    _program(tools, "clang")
    assert _missing(tools, on_gpu=True) is None
    assert _missing(tools, on_gpu=False), "g++ is what Inductor calls"
    _program(tools, "g++")
    assert _missing(tools, on_gpu=False) is None


def test_a_variable_replaces_the_usual_compilers(tools):
    _program(tools, "gcc")
    _program(tools, "g++")
    what, _ = _missing(tools, on_gpu=True, CC="gcc-99")
    assert "CC=gcc-99" in what.en
    _program(tools, "ccache")
    assert _missing(tools, on_gpu=False, CXX="ccache g++") is None
    assert _missing(tools, on_gpu=True, CC="ccache gcc"), "Triton takes CC for the name of one program"


def test_python_headers_are_named_with_their_package(tools, monkeypatch):
    _program(tools, "gcc")
    (tools / "include" / "Python.h").unlink()
    what, remedy = _missing(tools, on_gpu=True)
    assert "Python.h is missing" in what.en
    assert remedy.command.startswith("sudo apt install python3.")
    assert remedy.command.endswith("-dev")
    monkeypatch.setenv("CONDA_PREFIX", "/opt/conda")
    assert _missing(tools, on_gpu=True)[1].command.startswith("conda install -c conda-forge python=3.")


def test_a_compiler_that_fails_is_quoted(tools):
    _program(tools, "gcc", "echo 'x.c:1: fatal error: stdint.h: No such file or directory' >&2; exit 1")
    what, _ = _missing(tools, on_gpu=True)
    assert "fatal error: stdint.h" in what.en


def test_libcuda_is_found_beside_the_linker_cache(tmp_path):
    (tmp_path / "libcuda.so.1").touch()
    assert missing_libcuda({"LD_LIBRARY_PATH": f"/nowhere:{tmp_path}"}) is None


@pytest.mark.parametrize(
    ("value", "iterations", "found"),
    [("off", 200_000, "ok"), ("head", 100, "error"), ("all", 100, "error"), ("auto", 200_000, "ok")],
)
@pytest.mark.usefixtures("no_compiler")
def test_preflight_refuses_compile_without_a_compiler(monkeypatch, value, iterations, found):
    finding = _preflight(monkeypatch, value, iterations, on_gpu=False)
    assert finding.severity.value == found
    if found == "error":
        assert finding.where == f"compile={value}"
        assert finding.remedies[-1].overrides == ("compile=off",)


@pytest.mark.parametrize(("iterations", "found"), [(200_000, "warning"), (100, "ok")])
@pytest.mark.usefixtures("no_compiler")
def test_auto_trains_uncompiled_without_one_and_short_trainings_need_none(monkeypatch, iterations, found):
    finding = _preflight(monkeypatch, "auto", iterations, on_gpu=True)
    assert finding.severity.value == found
    assert ("runs uncompiled" in finding.title.en) == (found == "warning")


@pytest.fixture
def no_compiler(tools, monkeypatch):
    monkeypatch.setitem(os.environ, "PATH", str(tools / "bin"))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)


def _preflight(monkeypatch, choice, iterations, *, on_gpu):
    overrides = (f"compile={choice}", f"runner.max_iters={iterations}")
    settings = load_settings("baseline/lss_swin_nuscenes", overrides)
    monkeypatch.setattr(machine, "torch_can_use_cuda", lambda: (on_gpu, ""))
    [finding] = machine.compiler(Plan(settings, "c.py", Path("run")))
    return finding
