"""Whatever the terminal, the theme and the home are, the UI starts, shows itself and leaves cleanly."""

import fcntl
import itertools
import os
import signal
import subprocess
import sys
import termios
import time

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.widgets import Static

from diffbev_tui import places
from diffbev_tui.app import PANES
from diffbev_tui.i18n import set_language
from diffbev_tui.plain_console import PlainConsole
from diffbev_tui.screen_text import text_of
from diffbev_tui.themes import theme_names
from tests.processes import PATIENCE_S
from tests.tui.app import run_app, until
from tests.tui.monitor.run_files import write_run


@pytest.mark.slow(10)
@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_every_theme_shows_every_screen(lang, workspace):
    write_run(workspace / "runs" / "baseline", step=4_000, max_iters=8_000)
    async with run_app(workspace, size=(100, 30), lang=lang) as (app, pilot):
        await until(pilot, lambda: app.snapshot.runs)
        for name in PANES:
            await app.show_pane(name)
        every = theme_names(app.available_themes)
        themes = every if lang == "en" else [*every[:2], "ansi-dark", "ansi-light"]
        for theme, name in zip(themes, itertools.cycle(PANES)):
            app.prefer(theme=theme)
            for shown in dict.fromkeys((name, "monitor")):  # its charts draw with the theme's colours
                await app.show_pane(shown)
                await pilot.pause()
                assert text_of(app.export_screenshot()), (theme, shown)
        assert app.preferences.theme == theme


def _open(workspace, *, preexec=None, **variables):
    """The UI in a pseudo-terminal of its own: (process, master)."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "diffbev_tui.main", str(workspace), "--lang", "en"]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", **variables},
        start_new_session=True,
        preexec_fn=preexec,
    )
    os.close(slave)
    fcntl.fcntl(master, fcntl.F_SETFL, os.O_NONBLOCK)
    return process, master


def _read_until(master: int, text: bytes) -> bytes:
    seen, end = b"", time.monotonic() + PATIENCE_S
    while text not in seen:
        assert time.monotonic() < end, seen[-2000:]
        try:
            seen += os.read(master, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # the other side is closed
            break
    return seen


def test_sigterm_puts_the_terminal_back(workspace):
    process, master = _open(workspace)
    _read_until(master, b"Next:")
    process.send_signal(signal.SIGTERM)
    last = _read_until(master, b"[?1049l")
    assert b"[?1049l" in last, "the alternate screen is left"
    assert b"[?25h" in last, "the cursor is shown"
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    os.close(master)


def _under_nohup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _in_a_terminal_of_its_own():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the kernel sends SIGHUP and SIGCONT when it goes


@pytest.mark.parametrize("preexec", [_under_nohup, _in_a_terminal_of_its_own])
def test_a_ui_whose_terminal_vanished_leaves(preexec, workspace):
    process, master = _open(workspace, preexec=preexec)
    _read_until(master, b"Next:")
    os.close(master)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGHUP


def test_without_a_home_settings_are_kept_in_a_temporary_directory(monkeypatch, tmp_path):
    def homeless(_: str):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(places, "user_config_path", homeless)
    monkeypatch.setattr(places, "user_state_path", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert places.settings_file().is_relative_to(tmp_path)
    assert places.keep_clip("text").read_text() == "text"


def test_a_console_of_plain_letters_gets_plain_letters(workspace):
    signs = "✓ ● ▰▱ ⣿⠁ ▁█ … — → Δ ┊"
    [segment] = PlainConsole().apply([Segment(signs)], Color(0, 0, 0))
    assert segment.text.isascii()
    assert len(segment.text) == len(signs)
    process, master = _open(workspace, TERM="linux")
    shown = _read_until(master, b"Next:").decode("utf-8", "replace")
    process.terminate()
    shown += _read_until(master, b"[?1049l").decode("utf-8", "replace")
    process.wait(PATIENCE_S)
    os.close(master)
    odd = {sign for sign in shown if ord(sign) > 0x24FF and not 0x2500 <= ord(sign) <= 0x257F}
    assert not odd, odd


@pytest.fixture(autouse=True)
def _english_afterwards():
    yield
    set_language("en")


async def test_the_screen_is_copied_as_text(workspace):
    async with run_app(workspace, size=(100, 30), lang="zh") as (app, pilot):
        await until(pilot, lambda: app.snapshot.view is not None and app.query("#runbook-steps"))
        await pilot.pause()
        rows = text_of(app.export_screenshot()).split("\n")
        for one in app.query("#runbook-next, #runbook-title").results(Static):
            before, text, _ = rows[one.region.y].partition(str(one.content).rstrip())
            assert text
            assert cell_len(before) == one.region.x
