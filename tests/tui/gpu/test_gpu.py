import os
from pathlib import Path

import pynvml
import pytest
from textual.widgets import Static

from diffbev_engine.memory.gpu_processes import GpuProcess
from diffbev_tui import app as app_module
from diffbev_tui.core.gpu import GpuReading, GpuSample, sample_gpus
from diffbev_tui.core.host import read_host
from tests.tui.app import run_app, until

READING = GpuReading(
    (
        GpuSample(
            0, "NVIDIA GeForce RTX 5090", "GPU-1", 21811.0, 512.0, 32564.0, 92, 431.0, 575.0, 67, None,
            (
                GpuProcess(4242, 2867.0, "python train.py", "alice", False),
                GpuProcess(7, None, None, None, None),
            ),
        ),
    ),
    "",
)  # fmt: skip


def _has_gpu() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@pytest.mark.skipif(_has_gpu(), reason="this machine has a GPU")
def test_without_a_driver_it_says_why():
    reading = sample_gpus()
    assert reading.gpus == ()
    assert reading.message


def test_the_host_is_read(tmp_path):
    host = read_host(tmp_path, os.getpid())
    assert 0 < host.memory.available <= host.memory.total
    assert host.disk
    assert host.workers is not None
    assert read_host(Path("/nowhere/at/all"), None).disk is None


async def test_what_is_not_known_is_a_dash_and_other_processes_are_named(workspace, monkeypatch):
    monkeypatch.setattr(app_module, "sample_gpus", lambda: READING)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("3")
        await until(
            pilot, lambda: app.query("#gpu-gpus") and "RTX" in str(app.query_one("#gpu-gpus", Static).content)
        )
        text = str(app.query_one("#gpu-gpus", Static).content)
        assert "21.3 / 31.8 GiB" in text
        assert "– MHz" in text
        assert "431/575 W" in text
        assert "alice" in text
        assert "not visible here" in text
        await until(pilot, lambda: "RAM" in str(app.query_one("#gpu-host", Static).content))


async def test_no_gpu_is_said(workspace):
    if _has_gpu():
        pytest.skip("this machine has a GPU")
    async with run_app(workspace, lang="zh") as (app, pilot):
        await pilot.press("3")
        await until(
            pilot,
            lambda: (
                app.query("#gpu-gpus") and "没有可用的 GPU" in str(app.query_one("#gpu-gpus", Static).content)
            ),
        )
