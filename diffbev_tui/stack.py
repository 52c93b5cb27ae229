"""Pane container: one pane visible; panes are created on first use or during idle time."""

import asyncio
import importlib
from contextlib import suppress
from pathlib import Path

from textual.widget import MountError

from diffbev_tui.core.background import Background
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.later import PREPARED, import_the_rest, settle_memory
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainContainer

PANES = {
    "runbook": "RunbookPane",
    "monitor": "MonitorPane",
    "gpu": "GpuPane",
    "memory": "MemoryPane",
    "classes": "ClassesPane",
    "log": "LogPane",
    "report": "ReportPane",
}
"""Module in ``diffbev_tui.panes`` and its class, in the order of their keys."""
STYLES = Path(__file__).parent / "styles"
"""``app.tcss`` for the frame, and one for each pane."""
_LOOK_S = 0.05
_REST_S = 0.1
"""Between two panes that are made before they are asked for: time for keys."""


class PaneStack(PlainContainer):
    """All panes that there are, of which one is displayed."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.shown = ""
        """The name of the pane in view; empty while there is none."""
        self._making = asyncio.Lock()
        self._import = Background(import_the_rest)

    @property
    def in_view(self) -> Pane | None:
        """The pane in view."""
        found = self.query(f"#pane-{self.shown}") if self.shown else None
        return found.first(Pane) if found else None

    async def show(self, name: str, snapshot: Snapshot) -> None:
        """Bring a pane into view, with ``snapshot`` on it and the keys going to it."""
        pane = await self._made(name)
        self.shown = name
        for each in self.children:
            each.display = each is pane
        pane.update_snapshot(snapshot)
        pane.focus_inside()

    async def show_alone(self, pane: Pane, styles: str) -> None:
        """Put another pane, which has no key, in the place of all."""
        await self.clear()
        self.read_styles(styles)
        await self.mount(pane)

    async def clear(self) -> None:
        """No panes at all."""
        self.shown = ""
        await self.remove_children()

    async def prepare(self, *, panes: bool) -> None:
        """Do ahead what the first visit of another pane would wait for: modules, styles, widgets."""
        self._import.start()
        self.read_styles(*PANES)
        while self._import.busy_s:
            await asyncio.sleep(_LOOK_S)
        with suppress(MountError):  # the app is closing
            for name in PREPARED if panes else ():
                await asyncio.sleep(_REST_S)
                await self._made(name)
        settle_memory()

    def read_styles(self, *panes: str) -> None:
        """Know the styles of these panes."""
        known = self.app.stylesheet
        unread = [file for pane in panes if not known.has_source(str(file := STYLES / f"{pane}.tcss"))]
        if unread:
            known.read_all(unread)
            known.parse()

    async def _made(self, name: str) -> Pane:
        async with self._making:  # one that is being made is waited for
            found = self.query(f"#pane-{name}")
            if found:
                return found.first(Pane)
            self.read_styles(name)
            module = importlib.import_module(f"diffbev_tui.panes.{name}")
            pane: Pane = getattr(module, PANES[name])(id=f"pane-{name}")
            pane.display = False
            await self.mount(pane)
            return pane
