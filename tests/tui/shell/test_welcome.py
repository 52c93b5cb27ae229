"""The welcome screen: two ways to a workspace, what they say, and what goes wrong."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from textual.widgets import Button, Input, Log, Static

from diffbev_engine.runs.process import identify
from diffbev_tui.detached_process import DetachedProcess, find_detached
from diffbev_tui.welcome import demo as demo_module
from diffbev_tui.welcome.demo import set_up_demo
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, until

SMALL_DEMO = """
import sys, time
from pathlib import Path
from diffbev_engine.workspace.init import init_workspace
out = Path(sys.argv[1])
print("creating a small synthetic dataset", flush=True)
while not (out / "go").exists():
    time.sleep(0.02)
(out / "nuScenes").mkdir(exist_ok=True)
init_workspace(out / "DiffBEV", out / "nuScenes", demo=True)
print("the workspace is there", flush=True)
"""
"""Stands for `demo --setup-only`, which takes minutes: it waits for a file, then leaves a workspace."""


@pytest.fixture
def small_demo(monkeypatch):
    def command(name, _out, folder, *rest):
        assert (name, rest[0]) == ("demo", "--setup-only")
        return [sys.executable, "-c", SMALL_DEMO, str(folder)]

    monkeypatch.setattr(demo_module, "engine_command", command)


def _log(app):
    return "\n".join(app.query_one("#welcome-log", Log).lines)


def _state(app):
    return str(app.query_one("#welcome-state", Static).content)


async def _press_demo(app, pilot, out, *keys):
    app.query_one("#welcome-out", Input).value = str(out)
    app.query_one("#welcome-out").focus()
    await pilot.press(*keys, "enter")


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize(("size", "lang"), [((80, 24), "en"), ((140, 44), "zh")])
async def test_the_demo_is_set_up_with_its_output_shown_then_opened(size, lang, tmp_path):
    async with run_app(None, size=size, lang=lang) as (app, pilot):
        await _press_demo(app, pilot, tmp_path / "demo", "down")  # the button
        await until(pilot, lambda: "creating a small synthetic dataset" in _log(app))
        assert "●" in _state(app)
        (tmp_path / "demo" / "go").touch()
        await until(pilot, lambda: app.roots is not None)
        await until(pilot, lambda: app.pane is not None and app.pane.id == "pane-runbook")
        assert app.roots.workspace == tmp_path / "demo" / "DiffBEV"


@pytest.mark.usefixtures("small_demo")
async def test_a_set_up_outlives_the_ui_and_is_watched_by_the_next_one(tmp_path):
    out = tmp_path / "demo"
    async with run_app(None) as (app, pilot):
        await _press_demo(app, pilot, out)
        await until(pilot, lambda: "creating a small synthetic dataset" in _log(app))
        process = app.query_one("WelcomePane")._setup.process
        await pilot.press("escape")
        await until(pilot, lambda: app._exit)
    assert process.poll() is None
    async with run_app(None) as (app, pilot):
        await _press_demo(app, pilot, out)
        await until(pilot, lambda: "creating a small synthetic dataset" in _log(app))
        assert app.query_one("WelcomePane")._setup.process is None  # nothing was started beside it
        (out / "go").touch()
        process.wait(PATIENCE_S)
        await until(pilot, lambda: app.roots is not None)


@pytest.mark.usefixtures("small_demo")
def test_a_process_that_is_gone_is_not_watched(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    identity = identify(ended.pid)
    ended.wait()
    (tmp_path / "setup.json").write_text(json.dumps({"process": asdict(identity), "since": 1.0}))
    (tmp_path / "setup.log").touch()
    setup = set_up_demo(tmp_path, "en")
    assert setup.process is not None
    (tmp_path / "go").touch()
    assert setup.process.wait(PATIENCE_S) == 0
    assert setup.ended
    assert find_detached(setup.log) is None
    assert not DetachedProcess(setup.log, 0.0, identify(os.getpid())).ended


async def test_a_demo_that_fails_says_why_and_can_be_repeated(tmp_path, monkeypatch):
    code = "import sys; print('making', flush=True); sys.exit('error: the disk is full')"
    monkeypatch.setattr(demo_module, "engine_command", lambda *_: [sys.executable, "-c", code])
    async with run_app(None) as (app, pilot):
        for _ in range(2):
            app.clear_notifications()
            await _press_demo(app, pilot, tmp_path / "demo")
            await until(pilot, lambda: any(one.severity == "error" for one in app._notifications))
            assert [one.message for one in app._notifications] == ["the disk is full"]
            assert "✗ failed" in _state(app)
            assert "making" in app.query_one("WelcomePane").copy_text()
        assert app.roots is None


async def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path):
    (tmp_path / "file").touch()
    async with run_app(None) as (app, pilot):
        await _press_demo(app, pilot, tmp_path / "file" / "demo")
        await until(pilot, lambda: any(one.severity == "error" for one in app._notifications))
        assert str(tmp_path / "file" / "demo") in next(iter(app._notifications)).message


async def test_a_workspace_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").touch()
    async with run_app(None) as (app, pilot):
        app.query_one("#welcome-workspace", Input).value = str(tmp_path / "file" / "ws")
        app.query_one("#welcome-nuscenes", Input).value = str(tmp_path)
        await pilot.press("enter")
        await until(pilot, lambda: any(one.severity == "error" for one in app._notifications))
        assert "✗ failed" in _state(app)


async def test_read_only_makes_nothing(tmp_path):
    async with run_app(None, read_only=True) as (app, pilot):
        await _press_demo(app, pilot, tmp_path / "demo")
        await pilot.pause()
        assert any("Read-only" in one.message for one in app._notifications)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_everything_fits_on_a_small_terminal_and_typing_survives_another_language(lang):
    async with run_app(None, size=(80, 24), lang=lang) as (app, pilot):
        for name in ("init", "demo", "log"):
            assert app.query_one(f"#welcome-{name}").region.bottom <= 23
        app.query_one("#welcome-nuscenes", Input).value = "/somewhere"
        app.main_screen.action_language()
        other = {"en": "准备演示", "zh": "Set up demo"}[lang]
        buttons = lambda: [str(one.label) for one in app.query("#welcome-demo").results(Button)]  # noqa: E731
        await until(pilot, lambda: buttons() == [other])
        typed = lambda: [one.value for one in app.query("#welcome-nuscenes").results(Input)]  # noqa: E731
        await until(pilot, lambda: typed() == ["/somewhere"])
