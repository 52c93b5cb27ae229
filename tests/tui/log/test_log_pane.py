import os

import pytest
from textual.widgets import Log, Static

from diffbev_tui import log_tail
from diffbev_tui.i18n import tr
from diffbev_tui.log import scan
from diffbev_tui.threads import jobs_running
from tests.tui.app import run_app, type_at_once, until


def _log(workspace, lines, name="train_20260101_000000.log"):
    folder = workspace / ".diffbev" / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


async def test_the_newest_log_is_followed_filtered_and_searched(workspace):
    path = _log(
        workspace, ["12:00:00 I iter 10 loss 0.5", "12:00:01 W slow disk", "12:00:02 E out of memory"]
    )
    async with run_app(workspace) as (app, pilot):
        await pilot.press("6")
        await until(pilot, lambda: app.query(Log) and app.query_one(Log).line_count >= 3)
        with path.open("a") as file:
            file.write("12:00:03 I iter 20 loss 0.4\n")
        await until(pilot, lambda: "iter 20" in "\n".join(app.query_one(Log).lines))
        await pilot.press("f", "f")
        await until(pilot, lambda: "errors" in str(app.query_one("#log-name", Static).content))
        assert [line for line in app.query_one(Log).lines if line] == ["12:00:02 E out of memory"]
        await pilot.press("f", "slash", *"iter", "enter")
        await until(pilot, lambda: app.pane.copy_text() == "12:00:03 I iter 20 loss 0.4")
        await pilot.press("N")
        await until(pilot, lambda: app.pane.copy_text() == "12:00:00 I iter 10 loss 0.5")


async def test_without_a_log_it_says_where_one_would_come_from(workspace):
    async with run_app(workspace) as (app, pilot):
        await pilot.press("6")
        await until(
            pilot,
            lambda: (
                app.query("#log-name") and "No logs yet" in str(app.query_one("#log-name", Static).content)
            ),
        )


async def _open(app, pilot, count):
    await pilot.press("6")
    await until(pilot, lambda: app.query(Log) and app.query_one(Log).line_count >= count)


def _name(app):
    return str(app.query_one("#log-name", Static).content)


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_nothing_of_a_long_line_is_lost_unless_folding_is_off(lang, workspace):
    line = "12:00:00 I iter 10 " + "loss 0.5 " * 20 + "the end"
    _log(workspace, ["first", "", line])
    async with run_app(workspace, lang=lang) as (app, pilot):
        await _open(app, pilot, 5)
        assert "".join(app.query_one(Log).lines[2:]) == line
        await pilot.press("w")
        await until(pilot, lambda: app.query_one(Log).line_count == 3)
        assert tr("log.not_wrapped") in _name(app)
        await pilot.press("right", "right")
        await until(pilot, lambda: app.query_one(Log).scroll_x > 0)
        await pilot.press("w")
        await until(pilot, lambda: app.query_one(Log).line_count > 4)
        await pilot.resize_terminal(40, 24)
        await until(pilot, lambda: app.query_one(Log).line_count > 7)
        assert "".join(app.query_one(Log).lines[2:]) == line


async def test_a_reader_who_scrolled_up_stays_there_and_is_told_how_much_is_new(workspace):
    path = _log(workspace, [f"line {number}" for number in range(100)])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 100)
        assert "new" not in _name(app)
        await pilot.press("g")
        await until(pilot, lambda: app.query_one(Log).scroll_y == 0)
        with path.open("a") as file:
            file.write("more\n" * 12)
        await until(pilot, lambda: "12 new lines, not following" in _name(app))
        assert app.query_one(Log).scroll_y == 0
        await pilot.press("G")
        await until(pilot, lambda: "new" not in _name(app))
        with path.open("a") as file:
            file.write("at last\n")
        await until(pilot, lambda: app.query_one(Log).lines[-1] == "at last")
        assert app.query_one(Log).is_vertical_scroll_end


async def test_hits_are_marked_while_typing_counted_and_gone_to(workspace):
    _log(workspace, [f"{'x' * 100} {number % 50}" for number in range(200)])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 400)
        await pilot.press("slash", *"X 7")
        await until(pilot, lambda: "/X 7  4 matches" in _name(app))
        await pilot.press("enter")
        await until(pilot, lambda: "4/4" in _name(app))
        await pilot.press("N")
        await until(pilot, lambda: "3/4" in _name(app))
        log = app.query_one(Log)
        assert list(log.here) == [2 * 107, 2 * 107 + 1]
        assert log.scroll_y <= log.here.start < log.scroll_y + log.size.height
        marked = log.render_line(log.here.start - round(log.scroll_y))
        assert all(segment.style.underline for segment in marked)
        await pilot.press("escape")
        await until(pilot, lambda: "/X 7" not in _name(app))
        assert log.has_focus


async def test_a_search_typed_at_once_is_complete_when_it_goes_to_its_last_match(workspace):
    _log(workspace, [f"line {n}" for n in range(40)])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 40)
        type_at_once(app, "/line 3⏎")
        await until(pilot, lambda: "11/11" in _name(app))  # 3 and 30 to 39
        await pilot.press("N")
        await until(pilot, lambda: "10/11" in _name(app))


async def test_an_empty_search_ends_it(workspace):
    _log(workspace, ["one"])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 1)
        await pilot.press("slash", "enter")
        await pilot.pause()
        assert not app.query_one("#log-find").display
        assert app.query_one(Log).has_focus


async def test_another_log_is_one_key_away(workspace):
    older = _log(workspace, ["the older"], "a.log")
    os.utime(older, (1, 1))
    _log(workspace, ["the newer"], "b.log")
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 1)
        assert "b.log  1/2" in _name(app)
        await pilot.press("o")
        await until(pilot, lambda: "a.log  2/2" in _name(app))
        await until(pilot, lambda: list(app.query_one(Log).lines) == ["the older"])
        await pilot.press("O")
        await until(pilot, lambda: list(app.query_one(Log).lines) == ["the newer"])


async def test_a_log_that_is_begun_anew_is_shown_anew(workspace):
    path = _log(workspace, ["a long first line of the first start", "and a second"])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 2)
        path.write_text("again\n")
        await until(pilot, lambda: list(app.query_one(Log).lines) == ["again"])
        assert "log restarted" in _name(app)


@pytest.fixture
def long_log(workspace, monkeypatch):
    """A log of which little is held at a time: the last 1,000 of its 17,000 bytes."""
    monkeypatch.setattr(log_tail, "_FIRST_LOOK", 1000)
    monkeypatch.setattr(scan, "_SIDE", 1000)
    monkeypatch.setattr(scan, "KEPT", 5)
    lines = [f"{number:03d} I iter" if number % 50 else f"{number:03d} E failed" for number in range(1000)]
    return _log(workspace, [*lines[:5], "005 I needle", *lines[6:]])


async def test_a_match_far_before_the_end_is_shown_among_its_lines(workspace, long_log):
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 50)
        log = app.query_one(Log)
        assert "004 I iter" not in log.lines
        await pilot.press("slash", *"Needle", "enter")
        await until(pilot, lambda: app.pane.copy_text() == "005 I needle")
        assert "1/1 matches" in _name(app)
        assert "at 0% of" in _name(app)
        assert list(log.lines[4:7]) == ["004 I iter", "005 I needle", "006 I iter"]
        with long_log.open("a") as file:
            file.write("and more\n")
        await until(pilot, lambda: "1 new lines, not following" in _name(app))
        held = log.lines[-1]
        while log.lines[-1] == held:  # beyond what was read of it
            await pilot.press("pagedown")
            await until(pilot, lambda: not jobs_running())
        await pilot.press("pageup")
        await pilot.press("end")
        await until(pilot, lambda: "new" not in _name(app) and "at " not in _name(app))


async def test_keys_that_come_while_a_long_log_is_searched_count_each(workspace, long_log):
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 50)
        failures = [line for line in long_log.read_text().splitlines() if line.endswith("E failed")]
        assert len(failures) == 20
        await pilot.press("slash", *"E failed")
        app.pane._open.look_for("E failed")  # as if nothing had been read yet
        for by in (-1, -1, -1, 1):
            app.pane.action_hit(by)
        assert app.pane.copy_text() not in failures[-3:]
        app.pane._scan()
        await until(pilot, lambda: app.pane.copy_text() == failures[-2])


async def test_a_filter_is_applied_to_the_complete_file(workspace, long_log):
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 50)
        log = app.query_one(Log)
        await pilot.press("f", "f")
        await until(pilot, lambda: "20 lines" in _name(app) and log.line_count == 5)
        await pilot.press("home")
        await until(pilot, lambda: log.line_count == 20 and log.lines[0] == "000 E failed")
        await pilot.press("end")
        await until(pilot, lambda: log.line_count == 5)
        with long_log.open("a") as file:
            file.write("another\n1000 E failed\n")
        await until(pilot, lambda: log.lines[-1] == "1000 E failed")
        await pilot.press("ampersand", *"100 e", "enter")
        await until(pilot, lambda: list(log.lines) == ["100 E failed"])
        await pilot.press("escape")
        await until(pilot, lambda: "21 lines" in _name(app) and log.line_count > 1)


async def test_the_last_line_is_shown_though_it_has_no_end(workspace):
    path = _log(workspace, ["one"])
    async with run_app(workspace) as (app, pilot):
        await _open(app, pilot, 1)
        with path.open("a") as file:
            file.write("10%\r20%")
        await until(pilot, lambda: str(app.query_one("#log-unfinished", Static).content) == "20%")
        with path.open("a") as file:
            file.write("\rdone\n")
        await until(pilot, lambda: list(app.query_one(Log).lines) == ["one", "done"])
        assert not app.query_one("#log-unfinished").display
