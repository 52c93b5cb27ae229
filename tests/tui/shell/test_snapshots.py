"""Every screen as text, at two sizes and in two languages: what changed is read in the diff.

After a wanted change: ``pytest tests/tui/shell/test_snapshots.py --snapshot-update``, then look at them.
Text, and no pictures of it: a new version of Textual with other colours is no change of ours.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from diffbev_engine.core.host_memory import HostMemory
from diffbev_engine.runs.host import HostReading
from diffbev_engine.runs.status import RunState
from diffbev_engine.workspace.init import init_workspace
from diffbev_tui import poller as poller
from diffbev_tui.app import PANES, DiffBEVApp
from diffbev_tui.gpu import pane as gpu_module
from diffbev_tui.gpu_history import KEPT
from diffbev_tui.monitor.pane import MonitorPane
from diffbev_tui.places import settings_file
from diffbev_tui.preferences import PACES, Preferences, write_preferences
from diffbev_tui.threads import jobs_running
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, shown, until
from tests.tui.gpu.test_gpu import READING
from tests.tui.memory.test_memory_pane import CONFIG, MESSAGE
from tests.tui.monitor.run_files import write_run
from tests.tui.monitor.test_monitor_pane import answered

NOW = datetime(2026, 3, 1, 12, 41, 50, tzinfo=timezone.utc).timestamp()
HOST = HostReading(
    HostMemory(128 * 1024.0, 87 * 1024.0, 0.0, 0.0, False),
    (2 * 2**30, 64 * 2**30),
    (1228 * 2**30, 1800 * 2**30),
    37.0,
    None,
    checkpoint=450 * 2**20,
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is equally long on every machine: commands are wrapped at its length."""
    folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def campaign(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace at a standing clock: a baseline that has finished, a DiffBEV that goes on."""
    write_preferences(settings_file(), Preferences(pace=PACES[0]))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(poller, "read_gpus", lambda: READING)
    monkeypatch.setattr(gpu_module, "read_host", lambda *_: HOST)
    (place / "nuScenes").mkdir()
    workspace = place / "DiffBEV"
    init_workspace(workspace, place / "nuScenes", demo=True)
    runs = workspace / "runs"
    write_run(
        runs / "baseline", step=80_000, max_iters=80_000, state=RunState.FINISHED, diffusion=False,
        started=NOW - 90_000,
    )  # fmt: skip
    write_run(runs / "diffbev_default", step=41_350, resumed=(20_000,))
    for path in workspace.rglob("*"):
        os.utime(path, (NOW - 660, NOW - 660))
    os.utime(runs / "diffbev_default" / "metrics.csv", (NOW - 2, NOW - 2))
    return workspace


@pytest.fixture
def crashed(campaign: Path) -> Path:
    """The same after the DiffBEV ran out of memory."""
    run = campaign / "runs" / "diffbev_default"
    (run / "run.json").write_text(json.dumps({"started": "2026-03-01T11:00:00+00:00", "config": CONFIG}))
    status = {"state": "oom", "max_iters": 200_000, "step": 41_350, "updated": NOW - 60}
    (run / "status.json").write_text(json.dumps(status))
    (run / "train_20260301_120000.log").write_text(f"12:40:50 E {MESSAGE}\n")
    return campaign


async def _at_rest(app: DiffBEVApp, pilot, place: Path) -> str:
    """The screen once no job has run for a while, and it has stayed the same meanwhile."""
    before, seen, idle = None, "", 0
    end = time.monotonic() + PATIENCE_S
    while before != seen:
        await pilot.pause(0.03)
        busy = jobs_running() or (isinstance(app.pane, MonitorPane) and not answered(app.pane))
        idle = 0 if busy else idle + 1
        if idle and idle % 10 == 0:
            before, seen = seen, shown(app)
        assert time.monotonic() < end, seen
    return seen.replace(place.name, "w" * len(place.name))


async def _shoot(app: DiffBEVApp, pilot, place: Path, snapshot: SnapshotAssertion, *names: str) -> None:
    await until(pilot, lambda: app.snapshot.current is not None)
    for _ in range(KEPT):  # a past that does not grow while we look
        app.poller.gpu_history.add(READING)
    for name in names:
        await app.show_pane(name)
        before = app.snapshot
        await until(pilot, lambda before=before: app.snapshot is not before)  # read after it was shown
        assert await _at_rest(app, pilot, place) == snapshot(name=name)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("size", [(80, 24), (140, 44)], ids=["80x24", "140x44"])
async def test_screens(campaign, place, size, lang, snapshot):
    async with run_app(campaign, size=size, lang=lang, read_only=True) as (app, pilot):
        await _shoot(app, pilot, place, snapshot, *PANES)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("size", [(80, 24), (140, 44)], ids=["80x24", "140x44"])
async def test_after_a_crash(crashed, place, size, lang, snapshot):
    async with run_app(crashed, size=size, lang=lang, read_only=True) as (app, pilot):
        await _shoot(app, pilot, place, snapshot, "runbook", "memory")


@pytest.mark.parametrize("size", [(80, 24), (140, 44)], ids=["80x24", "140x44"])
async def test_without_colour_letters_tell_the_curves_apart(campaign, place, size, snapshot, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with run_app(campaign, size=size, read_only=True) as (app, pilot):
        await _shoot(app, pilot, place, snapshot, "runbook", "monitor", "classes")
