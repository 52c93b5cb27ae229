import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from textual.widgets import Static

from diffbev_engine.findings.memory.gpu_processes import GpuProcess
from diffbev_tui.core import lookout
from diffbev_tui.core.gpu import GpuReading, GpuSample, sample_gpus
from diffbev_tui.core.gpu_history import GpuHistory, sparkline
from diffbev_tui.core.host import disk_is_low, read_host
from diffbev_tui.panes.gpu_text import gpu_block
from tests.tui.app import run_app, until

READING = GpuReading(
    (
        GpuSample(
            0,
            "NVIDIA GeForce RTX 5090",
            "GPU-1",
            used_mib=21811.0,
            reserved_mib=512.0,
            total_mib=32564.0,
            utilisation=92,
            power_w=431.0,
            power_limit_w=575.0,
            temperature_c=67,
            processes=(
                GpuProcess(4242, 2867.0, "python train.py", "alice", False),
                GpuProcess(7, None, None, None, None),
            ),
        ),
    ),
    "",
)


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
    assert os.getpid() in host.family
    assert host.checkpoint is None
    nowhere = read_host(Path("/nowhere/at/all"), None)
    assert nowhere.disk is None
    assert nowhere.family == frozenset()


def test_all_processes_of_a_training_on_several_gpus_are_its_own(tmp_path):
    rank = 'sh -c "sleep 60 & wait" & echo $!;'
    launcher = subprocess.Popen(
        ["sh", "-c", f"{rank} {rank} sleep 61 & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        first, second, other = (int(launcher.stdout.readline()) for _ in range(3))
        end = time.monotonic() + 20
        while len(family := read_host(tmp_path, first).family) < 4 and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        os.killpg(launcher.pid, signal.SIGKILL)
        launcher.communicate()
    assert len(family) == 4  # two, and what each has started
    assert {first, second} < family
    assert other not in family


def test_a_disk_with_room_for_less_than_three_checkpoints_is_low():
    gib = 2**30
    assert disk_is_low(2 * gib, gib)
    assert not disk_is_low(4 * gib, gib)
    assert disk_is_low(gib - 1, None)


def test_the_past_of_every_figure_is_kept_and_drawn_against_its_limit():
    history, gpu = GpuHistory(), READING.gpus[0]
    for load in (0, None, 50, 100):
        history.add(GpuReading((replace(gpu, utilisation=load),), ""))
    tracks = {track.name: track for track in history.tracks(gpu)}
    assert tracks["load"].past == (0, None, 50, 100)
    assert sparkline(tracks["load"].past, tracks["load"].limit, 10) == "⡀⣼"
    assert sparkline(tracks["load"].past, 100.0, 1) == "⣼"
    assert sparkline((50, *tracks["load"].past), 100.0, 10) == "⢠⡀⣼"
    assert sparkline(tracks["clock"].past, None, 10) == "\u2800\u2800"
    assert sparkline((), 100.0, 10) == ""


def test_trouble_is_named_beside_the_gpu():
    full = replace(READING.gpus[0], used_mib=32000.0, too_hot=True)
    text = gpu_block(full, [], frozenset({4242}), 120).plain
    assert "! memory nearly full" in text
    assert "! slowed down" in text
    assert "● ours  python train.py" in text


async def test_what_is_not_known_is_a_dash_and_other_processes_are_named(workspace, monkeypatch):
    monkeypatch.setattr(lookout, "sample_gpus", lambda: READING)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("3")
        await until(
            pilot, lambda: app.query("#gpu-gpus") and "RTX" in str(app.query_one("#gpu-gpus", Static).content)
        )
        text = str(app.query_one("#gpu-gpus", Static).content)
        assert "21.3 / 31.8 GiB" in text
        assert "– / – MHz" in text
        assert "431 / 575 W" in text
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
