"""Shows one pane at a time; panes are made when they are first shown, or while nobody waits."""

import asyncio
import importlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message
from textual.reactive import var
from textual.widget import MountError

from diffbev_tui.preferences import Preferences
from diffbev_tui.preload import PREPARED, import_the_rest, settle_memory
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.threads import RunInThread
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
    "runs": "RunsPane",
}
"""Package of ``diffbev_tui`` and the class in its module ``pane``, in the order of their keys."""
STYLES = Path(__file__).parent / "styles"
"""``app.tcss`` for the frame, and one for each pane."""
_POLL_S = 0.05
_REST_S = 0.1
"""Between two panes that are made before they are asked for: time for keys."""


class PaneSwitcher(RunInThread, PlainContainer):
    """All panes that there are, of which one is displayed; hands down what the app binds to it."""

    snapshot: var[Snapshot] = var(Snapshot(0.0), init=False, always_update=True)
    preferences: var[Preferences] = var(Preferences(), init=False)
    graphics: var[str] = var("blocks", init=False)
    overlay: var[tuple[str, ...]] = var((), init=False)

    @dataclass
    class Imported(Message):
        """The modules of all panes are loaded."""

        done: None

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.shown = ""
        """The name of the pane in view; empty while there is none."""
        self._making = asyncio.Lock()

    @property
    def in_view(self) -> Pane | None:
        """The pane in view."""
        found = self.query(f"#pane-{self.shown}") if self.shown else None
        return found.first(Pane) if found else None

    def watch_snapshot(self, snapshot: Snapshot) -> None:
        """Hand it to every pane; the one in view shows it."""
        for pane in self.query_children(Pane):
            pane.snapshot = snapshot
        shown = self.in_view
        if shown is not None and shown.ready:
            shown.update_snapshot(snapshot)

    def watch_preferences(self, before: Preferences, _: Preferences) -> None:
        """Hand them to every pane."""
        for pane in self.query_children(Pane):
            self._hand_preferences(pane)
            pane.update_preferences(before)

    def watch_overlay(self) -> None:
        """Hand it to every pane; the one in view shows it."""
        for pane in self.query_children(Pane):
            pane.overlay = self.overlay
        shown = self.in_view
        if shown is not None and shown.ready:
            shown.update_snapshot(self.snapshot)

    def watch_graphics(self) -> None:
        """Draw pictures in another way."""
        for pane in self.query_children(Pane):
            self._hand_preferences(pane)
            pane.retranslate()

    def _hand_preferences(self, pane: Pane) -> None:
        pane.preferences, pane.graphics, pane.overlay = self.preferences, self.graphics, self.overlay

    def retranslate(self) -> None:
        """Speak the language that was just chosen."""
        for pane in self.query_children(Pane):
            pane.retranslate()

    async def show(self, name: str, run: str = "") -> None:
        """Bring a pane into view, with the newest snapshot on it and the keys going to it."""
        try:
            pane = await self._made(name)
        except MountError:  # the app is closing
            return
        while pane.remaking:
            await asyncio.sleep(_POLL_S)
        if not pane.ready:
            return
        self.shown = name
        if run:
            pane.go_to_run(run)
        for each in self.children:
            each.display = each is pane
        pane.update_snapshot(self.snapshot)
        pane.focus_inside()

    async def show_alone(self, pane: Pane, styles: str) -> None:
        """Put another pane, which has no key, in the place of all."""
        await self.clear()
        self.read_styles(styles)
        pane.snapshot = self.snapshot
        self._hand_preferences(pane)
        await self.mount(pane)

    async def clear(self) -> None:
        """No panes at all."""
        self.shown = ""
        await self.remove_children()

    async def prepare(self, *, panes: bool) -> None:
        """Do ahead what the first visit of another pane would wait for: modules, styles, widgets."""
        self.run_in_thread("import", import_the_rest, self.Imported)
        self.read_styles(*PANES)
        while self.busy_seconds("import"):
            await asyncio.sleep(_POLL_S)
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
            module = importlib.import_module(f"diffbev_tui.{name}.pane")
            pane: Pane = getattr(module, PANES[name])(id=f"pane-{name}")
            pane.snapshot = self.snapshot
            self._hand_preferences(pane)
            pane.display = False
            await self.mount(pane)
            return pane
