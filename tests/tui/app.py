"""The real app without a terminal, for tests."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.app import App
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget

from diffbev_engine.core.bilingual import Language
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_tui.app import DiffBEVApp
from diffbev_tui.i18n import set_language
from diffbev_tui.screen_text import text_of
from tests.processes import PATIENCE_S

_POLL_S = 0.01
_KEYS = {"/": "slash", ".": "full_stop", "⏎": "enter", "⎋": "escape", "⌫": "backspace", "↓": "down"}


@asynccontextmanager
async def run_app(
    workspace: Path | None,
    *,
    size: tuple[int, int] = (80, 24),
    lang: Language = "en",
    read_only: bool = False,
) -> AsyncIterator[tuple[DiffBEVApp, Pilot[Any]]]:
    """Run the app on ``workspace`` until the block ends."""
    set_language(lang)
    app = DiffBEVApp(find_roots(workspace) if workspace else None, read_only=read_only)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


async def until(pilot: Pilot[Any], holds: Any) -> None:
    """Let the app go on until ``holds()``; an error that names the wait if it never does."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, f"it never came to {holds}"
        await pilot.pause(_POLL_S)


def type_at_once(app: App[Any], typed: str) -> None:
    """Press keys without waiting for what each of them does, as one who types ahead; ``⏎⎋⌫↓`` are keys."""
    for character in typed:
        app.post_message(events.Key(_KEYS.get(character, character), character))


def shown(app: DiffBEVApp) -> str:
    """The screen as text."""
    return text_of(app.export_screenshot())


def uneven_rows(app: DiffBEVApp) -> list[tuple[Widget, str]]:
    """Rows that are not as wide as their widget, which would push what is next to them out of place."""
    widgets = [one for one in app.screen.query("*") if one.is_on_screen and one.outer_size]
    return [
        (widget, strip.text)
        for widget in widgets
        for strip in widget.render_lines(Region(0, 0, *widget.outer_size))
        if not strip.cell_length == cell_len(strip.text) == widget.outer_size.width
    ]
