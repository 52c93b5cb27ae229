"""The settings dialog: every choice holds at once, in both languages, and is remembered."""

import pytest
from textual.widgets import Static

from diffbev_tui.app import DiffBEVApp
from diffbev_tui.i18n import language
from diffbev_tui.places import settings_file
from diffbev_tui.preferences import Preferences, read_preferences, write_preferences
from diffbev_tui.widgets.settings import Settings
from diffbev_tui.widgets.tab_line import TabLine
from tests.tui.app import run_app, until


def _lines(app):
    return str(app.screen.query_one("#settings-lines", Static).content).splitlines()


async def _open(app, pilot):
    await pilot.press("comma")
    await until(pilot, lambda: isinstance(app.screen, Settings) and app.screen.is_mounted)
    await pilot.pause()


@pytest.mark.parametrize("size", [(60, 15), (140, 44)])
async def test_each_choice_holds_at_once_and_is_remembered(size, workspace):
    async with run_app(workspace, size=size) as (app, pilot):
        await pilot.press("2", "1")
        await _open(app, pilot)
        values = [line.split("<")[1].split()[0] for line in _lines(app)]
        assert values == ["English", "diffbev", "every", "auto", "auto"]
        await pilot.press("right")
        await until(pilot, lambda: "语言" in _lines(app)[0])
        assert "中文" in _lines(app)[0]
        await pilot.press("down", "right")
        assert app.theme == "diffbev-light"
        await pilot.press("down", "left")
        assert app.preferences.pace == 0.5
        await pilot.press("down", "right", "right", "right")
        monitor = app.screen_stack[0].query_one("#pane-monitor")
        assert monitor.request.smoothing == 0.9
        await pilot.press("down", "right", "right")
        assert app.graphics == "sixel"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Settings))
        await until(pilot, lambda: "流程" in str(app.query_one(TabLine).content))
    assert read_preferences(settings_file()) == Preferences("zh", "diffbev-light", 0.5, 0.9, "sixel")
    async with run_app(workspace, lang="zh") as (app, pilot):
        await pilot.press("2")
        assert app.theme == "diffbev-light"
        await until(pilot, lambda: app.query("#pane-monitor"))
        assert app.query_one("#pane-monitor").request.smoothing == 0.9


async def test_the_dialog_is_closed_by_the_key_that_opened_it_and_found_in_the_palette(workspace):
    async with run_app(workspace) as (app, pilot):
        assert any(command.title == "Settings  (,)" for command in app.get_system_commands(app.screen))
        await _open(app, pilot)
        await pilot.press("comma")
        await until(pilot, lambda: not isinstance(app.screen, Settings))
        assert language() == "en"


async def test_what_cannot_be_remembered_holds_all_the_same_and_says_so(workspace):
    settings_file().parent.parent.mkdir(parents=True, exist_ok=True)
    settings_file().parent.write_text("a file where the folder should be")
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot)
        await pilot.press("down", "right")
        await until(pilot, lambda: app.theme == "diffbev-light")
        assert any("cannot be saved" in one.message for one in app._notifications)


async def test_how_pictures_are_drawn_in_a_terminal_does_not_hold_in_a_browser(workspace, monkeypatch):
    write_preferences(settings_file(), Preferences(graphics="kitty"))
    async with run_app(workspace) as (app, _):
        assert app.graphics == "kitty"
    monkeypatch.setattr(DiffBEVApp, "is_web", True)
    async with run_app(workspace) as (app, _):
        assert app.graphics == "blocks"
