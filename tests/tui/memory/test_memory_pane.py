import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Static

from diffbev_engine.findings.memory.oom_report import MemoryFailure, write_oom_report
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import Launch, write_launch
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState
from diffbev_tui.memory.state import Part, memory_case
from diffbev_tui.memory.text import _FILLS, Chosen, bar_of, calm_page, crash_page, host_page
from diffbev_tui.places import clip_file
from diffbev_tui.widgets.dialogs import Choice
from tests.tui.app import run_app, until
from tests.tui.monitor.run_files import write_run

MESSAGE = (
    "CUDA out of memory. Tried to allocate 938.00 MiB. GPU 0 has a total capacity of 31.80 GiB of "
    "which 49.00 MiB is free. Process 51877 has 3.20 GiB memory in use. Including non-PyTorch memory, this "
    "process has 28.55 GiB memory in use. Of the allocated memory 24.60 GiB is allocated by PyTorch, and "
    "3.10 GiB is reserved by PyTorch but unallocated."
)
CONFIG = {
    "data": {"samples_per_gpu": 8},
    "optimizer_config": {"cumulative_iters": 1},
    "precision": "bf16",
    "compile": "off",
}


def _crashed(workspace, *, report=True, checkpoint=True):
    folder = RunFolder(workspace / "runs" / "diffbev_default")
    folder.path.mkdir(parents=True, exist_ok=True)
    now = time.time()
    folder.manifest.write_text(json.dumps({"pid": 2**22 - 5, "pid_started": 1.0, "time": now - 60}))
    folder.status.write_text(json.dumps({"state": "oom", "max_iters": 200000, "step": 12450, "updated": now}))
    if checkpoint:
        folder.latest.write_bytes(b"x")
    if report:
        write_oom_report(folder, MemoryFailure(MESSAGE, "backward", 12450, 0, CONFIG, "RTX 5090", 1))
    else:
        (folder.path / "train_20260101_000000.log").write_text(f"12:00:00 E {MESSAGE}\n")
    return folder


def test_the_parts_of_the_memory_add_up(workspace):
    case = memory_case(inspect_run(_crashed(workspace).path))
    parts, total = case.parts()
    named = {part.name: part.mib for part in parts}
    assert case.kind == "gpu"
    assert total == 31.80 * 1024
    assert named["torch"] == 24.60 * 1024
    assert set(named) == {"torch", "unused", "context", "others", "free"}
    assert abs(sum(named.values()) - total) < 0.01 * total
    assert case.remedies


def test_without_a_report_the_message_in_the_log_is_read(workspace):
    case = memory_case(inspect_run(_crashed(workspace, report=False).path))
    assert case.kind == "gpu"
    assert case.parsed is not None
    assert case.parsed.requested == 938.0


async def test_a_crash_shows_who_held_the_memory_and_a_remedy_is_asked_for(workspace):
    _crashed(workspace)
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await pilot.press("4")
        page = lambda: str(app.query_one("#memory-page", Static).content)  # noqa: E731
        await until(pilot, lambda: app.query("#memory-page") and "12,450" in page())
        assert "iteration 12,450: backward, batch size 8, bf16" in page()
        assert "reserved, unused 3.1 GiB" in page()
        await pilot.press("d")
        await until(pilot, lambda: "manual step" in page())  # the first is another user's process
        await pilot.press("down")
        await until(pilot, lambda: "+ data." in page())
        command = app.pane.copy_text()
        assert "runs resume" in command
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        assert command in str(app.screen.query_one("#dialog-consequence", Static).content)
        await pilot.press("escape", "up", "a")  # another user's process: a person must ask
        await until(pilot, clip_file().exists)
        assert not isinstance(app.screen, Choice)


async def test_without_a_curve_the_memory_is_measured_from_here(workspace):
    run = write_run(workspace / "runs" / "baseline", state=RunState.FINISHED, started=time.time() - 9000)
    manifest = json.loads(run.manifest.read_text())
    arguments = {"config": "configs/a.py", "overrides": ["precision=fp32"]}
    run.manifest.write_text(json.dumps({**manifest, "arguments": arguments}))
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.runs)
        await pilot.press("4")
        page = lambda: str(app.query_one("#memory-page", Static).content)  # noqa: E731
        await until(pilot, lambda: app.query("#memory-page") and "m runs: diffbev-engine memory" in page())
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        shown = str(app.screen.query_one("#dialog-consequence", Static).content)
        assert f"memory configs/a.py --work-dir {run.path} --set precision=fp32" in shown
        assert "uses the GPU for minutes" in shown


async def test_read_only_applies_nothing(workspace):
    _crashed(workspace)
    async with run_app(workspace, read_only=True) as (app, pilot):
        await pilot.press("4")
        await until(pilot, lambda: app.pane is not None and app.pane.copy_text() is not None)
        await pilot.press("a")
        await pilot.pause(0.2)
        assert not isinstance(app.screen, Choice)


@given(
    st.lists(st.floats(0.001, 1e5), min_size=1, max_size=5),
    st.floats(0.0, 1e5),
    st.integers(20, 100),
)
def test_the_bar_never_leaves_its_width_and_hides_no_part(sizes, unaccounted, width):
    parts = [Part(name, mib) for name, mib in zip(_FILLS, sizes, strict=False)]
    cells = bar_of(parts, sum(sizes) + unaccounted, width)
    assert [name for name, _ in cells] == [part.name for part in parts]
    assert all(count >= 1 for _, count in cells)
    assert sum(count for _, count in cells) <= width


def test_a_crash_without_a_report_gets_remedies_from_the_settings_of_the_run(workspace):
    folder = _crashed(workspace, report=False)
    manifest = json.loads(folder.manifest.read_text())
    folder.manifest.write_text(json.dumps(manifest | {"config": CONFIG}))
    case = memory_case(inspect_run(folder.path))
    overrides = [override for remedy in case.remedies for override in remedy.overrides]
    assert "data.samples_per_gpu=4" in overrides
    assert "optimizer_config.cumulative_iters=2" in overrides
    page = crash_page(case, Chosen(0, False), 100).plain
    assert "ran out of GPU memory at iteration 12,450" in page
    assert "batch size 8, bf16, eager" in page


def test_a_host_kill_is_another_page_with_remedies_of_its_own(workspace):
    folder = _killed(workspace, oom_kills_cgroup=1)
    case = memory_case(inspect_run(folder.path))
    assert case.kind == "host"
    page = host_page(case, Chosen(0, True)).plain
    assert "host memory (RAM" in page
    assert "+ data.workers_per_gpu=4" in page
    assert "ran out of GPU memory" not in page


def test_a_kill_that_the_kernel_did_not_count_is_not_put_down_to_memory(workspace):
    folder = _killed(workspace, oom_kills_cgroup=0, oom_kills_host=0)
    case = memory_case(inspect_run(folder.path))
    assert (case.kind, case.remedies) == ("killed", ())
    page = calm_page(case).plain
    assert "no sign that memory ran out" in page
    assert "host memory" not in page


def test_the_run_under_its_pid_on_the_host_is_not_another_process(workspace):
    message = MESSAGE.replace("Including non-PyTorch memory, this process has 28.55 GiB memory in use. ", "")
    folder = _crashed(workspace, report=False)
    (folder.path / "train_20260101_000000.log").write_text(message.replace("has 3.20 GiB", "has 28.55 GiB"))
    case = memory_case(inspect_run(folder.path))
    parts = {part.name: part.mib for part in case.parts()[0]}
    assert "others" not in parts
    assert parts["context"] == pytest.approx((28.55 - 24.6 - 3.1) * 1024)
    assert case.report["others"] == []


def _killed(workspace, *, message="killed by SIGKILL", **launch):
    """A detached training that the kernel killed."""
    folder = RunFolder(workspace / "runs" / "diffbev_default")
    folder.path.mkdir(parents=True, exist_ok=True)
    now, gone = time.time(), replace(identify(), pid=2**22 - 5)
    folder.manifest.write_text(
        json.dumps({"launch": "a", "config": CONFIG | {"data": {"samples_per_gpu": 8, "workers_per_gpu": 8}}})
    )
    folder.status.write_text(json.dumps({"state": "training", "max_iters": 10, "step": 5, "updated": now}))
    ending = Launch("a", (), "/", {}, "console.log", now - 60, gone, gone, now, signal="SIGKILL", **launch)
    write_launch(folder, replace(ending, message=message))
    return folder
