import asyncio
import json
import re
import time

from textual.widgets import Static

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import identify
from diffbev_tui.app import PANES
from diffbev_tui.places import clip_file, settings_file
from diffbev_tui.screen_text import text_of
from diffbev_tui.widgets.dialogs import Choice
from diffbev_tui.widgets.help import Help
from diffbev_tui.widgets.key_line import keys_of
from diffbev_tui.widgets.status_line import StatusLine
from diffbev_tui.widgets.tab_line import TabLine
from diffbev_tui.workspace_lock import WorkspaceLock
from tests.tui.app import run_app, until


def _text(widget: Static) -> str:
    return str(widget.content)


def _running_run(workspace):
    folder = RunFolder(workspace / "runs" / "baseline_smoke")
    folder.path.mkdir(parents=True, exist_ok=True)
    process = identify()
    manifest = {"process": process.__dict__, "started": time.time(), "command": ["train"], "pid": process.pid}
    folder.manifest.write_text(json.dumps(manifest))
    status = {
        "state": "training",
        "max_iters": 200000,
        "step": 41350,
        "updated": time.time(),
        "it_per_s": 7.6,
    }
    folder.status.write_text(json.dumps({**status, "eta_s": 20880.0}))
    return folder


async def test_every_screen_opens_by_its_number_in_both_languages(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        for number, name in enumerate(PANES, start=1):
            await pilot.press(str(number))
            await until(pilot, lambda name=name: app.pane is not None and app.pane.id == f"pane-{name}")
        await pilot.press("L")
        await until(pilot, lambda: "流程" in _text(app.query_one(TabLine)))
    assert 'language = "zh"' in settings_file().read_text()


async def test_the_status_line_tells_of_a_run_that_is_going_on(workspace):
    _running_run(workspace)
    async with run_app(workspace, size=(160, 30)) as (app, pilot):
        await until(pilot, lambda: app.snapshot.current is not None)
        await until(pilot, lambda: "41,350/200,000" in _text(app.query_one(StatusLine)))
        line = _text(app.query_one(StatusLine))
        assert "● training baseline_smoke" in line
        assert "20.7%" in line
        assert "7.6 it/s" in line
        assert "5 h 48 min" in line


async def test_leaving_asks_while_a_run_is_going_on_and_detaching_leaves_it(workspace):
    _running_run(workspace)
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.current is not None)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Choice))
        assert app.is_running
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("enter")
        await until(pilot, lambda: not app.is_running or app._exit)


async def test_leaving_asks_nothing_when_nothing_runs(workspace):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.taken > 0)
        await pilot.press("q")
        await until(pilot, lambda: app._exit)


async def test_leaving_while_other_screens_are_made_ends_quietly(workspace):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.pane is not None)
        switcher = app.main_screen.switcher
        app.exit()
        await switcher.prepare(panes=True)


async def test_a_screen_that_goes_as_it_is_shown_ends_quietly(workspace, monkeypatch):
    """As when the app is left just then."""
    async with run_app(workspace) as (app, pilot):
        switcher = app.main_screen.switcher
        made = switcher._made

        async def made_and_gone(name):
            pane = await made(name)
            await pane.remove()
            return pane

        await until(pilot, lambda: app.pane is not None)
        monkeypatch.setattr(switcher, "_made", made_and_gone)
        for name in PANES:
            await app.show_pane(name, str(workspace / "runs"), step="1.1")


async def test_a_screen_is_shown_once_it_is_made_in_another_language(workspace):
    async with run_app(workspace, size=(140, 44)) as (app, pilot):
        await until(pilot, lambda: app.pane is not None)
        for name in ("monitor", "gpu", "memory", "classes", "report"):
            await app.show_pane(name)
            pane = app.pane
            await app.show_pane("runbook")
            pane.retranslate()
            for _ in range(1000):
                if pane.remaking:
                    break
                await asyncio.sleep(0)
            assert pane.remaking
            await app.show_pane(name)
            assert app.pane is pane
            assert not pane.remaking
            await pilot.pause()
            assert pane in app.focused.ancestors_with_self


async def test_ctrl_c_ends_nothing(workspace):
    async with run_app(workspace) as (app, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause(0.1)
        assert not app._exit


async def test_help_lists_the_keys_of_the_screen(workspace):
    async with run_app(workspace) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help))


async def test_keys_are_described_in_the_language_of_the_screen(workspace):
    _running_run(workspace)
    async with run_app(workspace, lang="zh") as (app, pilot):
        await until(pilot, lambda: app.snapshot.current is not None)
        for name in PANES:
            await app.show_pane(name)
            await pilot.pause()
            for key, what, _ in keys_of(app.screen, all_keys=True):
                assert what == "GPU" or re.search("[\u4e00-\u9fff]", what), (name, key, what)


async def test_a_second_app_watches_and_takes_over(workspace):
    seat = WorkspaceLock(workspace / ".diffbev")
    assert seat.take()
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.taken > 0 and app.query("#runbook-steps"))
        await pilot.pause()
        assert app.read_only
        assert " r run " not in text_of(app.export_screenshot())
        seat.leave()
        await until(pilot, lambda: not app.read_only)
        await until(pilot, lambda: " r run " in text_of(app.export_screenshot()))


async def test_read_only_takes_no_seat(workspace):
    async with run_app(workspace, read_only=True) as (app, pilot):
        await until(pilot, lambda: app.snapshot.taken > 0)
        assert app.read_only
        assert WorkspaceLock(workspace / ".diffbev").take()


async def test_without_a_workspace_one_is_made_from_the_welcome_screen(tmp_path):
    (tmp_path / "nuScenes").mkdir()
    async with run_app(None, size=(100, 40)) as (app, pilot):
        from textual.widgets import Input

        app.query_one("#welcome-workspace", Input).value = str(tmp_path / "ws")
        app.query_one("#welcome-nuscenes", Input).value = str(tmp_path / "nuScenes")
        await pilot.press("enter")
        await until(pilot, lambda: app.roots is not None)
        await until(pilot, lambda: app.pane is not None)
    assert (tmp_path / "ws" / "workspace.toml").exists()


async def test_copying_the_screen_also_writes_a_file(workspace):
    async with run_app(workspace) as (app, pilot):
        await until(pilot, lambda: app.snapshot.taken > 0)
        await pilot.press("Y")
        await until(pilot, clip_file().exists)
    assert "DiffBEV" in clip_file().read_text()


async def test_a_storm_of_sizes_ends_nothing(workspace):
    async with run_app(workspace, size=(60, 15)) as (app, pilot):
        for width, height in ((1, 1), (20, 3), (300, 90), (40, 12), (80, 24)):
            await pilot.resize_terminal(width, height)
            await asyncio.sleep(0)
        await pilot.pause()
        assert app.is_running
