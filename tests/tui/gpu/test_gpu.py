import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from textual.widgets import Static

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.gpu.reading import Gpu, GpuProcess, GpuReading, Trouble
from diffbev_engine.runs.host import read_host
from diffbev_engine.runs.system import SystemHistory, read_system
from diffbev_tui import poller as poller
from diffbev_tui.gpu.text import gpu_block, history_block
from diffbev_tui.gpu_history import GpuHistory, sparkline
from diffbev_tui.i18n import set_language
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, until

READING = GpuReading(
    (
        Gpu(
            0,
            "NVIDIA GeForce RTX 5090",
            "GPU-1",
            used_mib=21811.0,
            reserved_mib=512.0,
            total_mib=32564.0,
            utilization=92,
            power_w=431.0,
            power_limit_w=575.0,
            temperature_c=67,
            processes=(
                GpuProcess(4242, 2867.0, "python train.py", "alice", False),
                GpuProcess(7, None, None, None, None),
            ),
        ),
    ),
)


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
        end = time.monotonic() + PATIENCE_S
        family = frozenset()
        # Until they have become what they run, all three look the same.
        while (len(family) != 4 or other in family) and time.monotonic() < end:
            time.sleep(0.02)
            family = read_host(tmp_path, first).family
    finally:
        os.killpg(launcher.pid, signal.SIGKILL)
        launcher.communicate()
    assert len(family) == 4  # two, and what each has started
    assert {first, second} < family
    assert other not in family


def test_the_past_of_every_figure_is_kept_and_drawn_against_its_limit():
    history, gpu = GpuHistory(), READING.gpus[0]
    for load in (0, None, 50, 100):
        history.add(GpuReading((replace(gpu, utilization=load),)))
    tracks = {track.name: track for track in history.tracks(gpu)}
    assert tracks["load"].past == (0, None, 50, 100)
    assert sparkline(tracks["load"].past, tracks["load"].limit, 10) == "⡀⣼"
    assert sparkline(tracks["load"].past, 100.0, 1) == "⣼"
    assert sparkline((50, *tracks["load"].past), 100.0, 10) == "⢠⡀⣼"
    assert sparkline(tracks["clock"].past, None, 10) == "\u2800\u2800"
    assert sparkline((), 100.0, 10) == ""


def test_trouble_is_named_beside_the_gpu():
    full = replace(READING.gpus[0], used_mib=32000.0, throttle=("hw_thermal",))
    text = gpu_block(full, GpuHistory(), frozenset({4242}), 120).plain
    assert "! GPU memory almost full" in text
    assert "! throttled" in text
    assert "● this run  python train.py" in text


async def test_what_is_not_known_is_a_dash_and_other_processes_are_named(workspace, monkeypatch):
    monkeypatch.setattr(poller, "read_gpus", lambda: READING)
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


async def _page(workspace, reading, monkeypatch, **options):
    monkeypatch.setattr(poller, "read_gpus", lambda: reading)
    async with run_app(workspace, size=(140, 44), **options) as (app, pilot):
        await pilot.press("3")
        content = lambda: str(app.query_one("#gpu-gpus", Static).content)  # noqa: E731
        await until(pilot, lambda: app.query("#gpu-gpus") and app._gpus is reading and content())
        await until(pilot, lambda: app.snapshot.gpus is reading)
        await until(pilot, lambda: "GPU" in content())
        return content()


async def test_no_gpu_is_said(workspace, monkeypatch):
    none = GpuReading(trouble=Trouble.NO_LIBRARY, problem=Bilingual("没有驱动", "no driver"))
    assert "没有可用的 GPU：没有驱动" in await _page(workspace, none, monkeypatch, lang="zh")


async def test_a_broken_driver_is_not_called_no_gpu(workspace, monkeypatch):
    broken = GpuReading(trouble=Trouble.MISMATCH, problem=Bilingual("版本不一致", "versions differ"))
    page = await _page(workspace, broken, monkeypatch, lang="en")
    assert "The GPU driver does not work: versions differ" in page


async def test_unified_memory_a_lost_gpu_and_mig_instances_are_shown(workspace, monkeypatch):
    part = Gpu(0, "A100 MIG 1g.10gb", "MIG-1", total_mib=10240, used_mib=1024, free_mib=9216, processes=())
    reading = GpuReading(
        (
            Gpu(0, "NVIDIA GB10", "GPU-0", total_mib=122880, used_mib=20480, free_mib=102400, unified=True),
            Gpu(1, lost=True, problem=Bilingual("已丢失", "GPU 1 is lost")),
            Gpu(2, "A100", "GPU-2", mig=True, instances=(part,)),
        )
    )
    page = await _page(workspace, reading, monkeypatch, lang="en")
    assert "20.0 / 120.0 GiB" in page
    assert "unified memory" in page
    assert "the driver does not list processes" in page
    assert "GPU1   ! GPU 1 is lost" in page
    assert "MIG 0 A100 MIG 1g.10gb" in page
    assert "1.0 / 10.0 GiB" in page


def test_the_machine_over_the_whole_run_keeps_its_peaks(tmp_path):
    set_language("en")
    times = [1000.0 + 10 * place for place in range(500)]
    used = [1024.0 * (30 if place == 250 else 10) for place in range(500)]
    columns = {"gpu0_load": [50.0] * 500, "gpu0_used_mib": used, "host_used_mib": [2048.0] * 500}
    text = history_block(SystemHistory(times, columns), "baseline", 100).plain
    assert text.startswith("Over the run baseline (1 h 23 min)")
    assert "10–30 GiB" in text
    assert "2–2 GiB" in text
    assert "power" not in text, "the driver did not say"
    empty = history_block(read_system(tmp_path / "none"), "baseline", 100).plain
    assert empty.startswith("No system history")
