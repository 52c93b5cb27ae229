"""The real app without a terminal, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from diffbev_engine.core.bilingual import Language
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_tui.app import DiffBEVApp
from diffbev_tui.i18n import set_language

_POLL_S = 0.01


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


async def until(pilot: Pilot[Any], holds: Any, seconds: float = 20.0) -> None:
    """Let the app go on until ``holds()``; an error that names the wait if it never does."""
    waited = 0.0
    while not holds():
        assert waited < seconds, f"not within {seconds} s: {holds}"
        await pilot.pause(_POLL_S)
        waited += _POLL_S
