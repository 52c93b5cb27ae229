"""The app: takes workspace snapshots in a background thread and passes them to the active pane."""

import asyncio
import importlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import var
from textual.screen import Screen

from diffbev_engine.core.gpu.reading import GpuReading
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.alerts import AlertKind
from diffbev_tui.alert_log import RunAlert, new_alerts
from diffbev_tui.i18n import set_language, tr, tr_if_key
from diffbev_tui.leaving import leave, leave_on_signals
from diffbev_tui.main_screen import MainScreen
from diffbev_tui.messages import (
    Copy,
    FollowCommand,
    GpusRead,
    OfferFixes,
    OpenWorkspace,
    Overlay,
    Prefer,
    RunFix,
    RunStopped,
    Say,
    Severity,
    ShowScreen,
    SnapshotTaken,
)
from diffbev_tui.places import keep_clip, settings_file
from diffbev_tui.plain_console import terminal_filters
from diffbev_tui.poller import WorkspacePoller
from diffbev_tui.preferences import Preferences, read_preferences, write_preferences
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.switcher import PANES, STYLES, PaneSwitcher
from diffbev_tui.themes import begin_with_theme
from diffbev_tui.threads import JobFailed, RunInThread
from diffbev_tui.widgets.command_strip import CommandStrip
from diffbev_tui.widgets.key_line import KeyLine, keys_of
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.status_line import StatusLine
from diffbev_tui.widgets.tab_line import TabLine

_FILES = "files"
_FIRST_SNAPSHOT_S = 0.3
_MOST_TOASTS = 2
_SETTLED_S = 0.3
"""After the first screen: nobody has found another one to go to by then."""


class DiffBEVApp(RunInThread, App[None]):
    """The terminal UI of one workspace."""

    TITLE = "DiffBEV"
    CSS_PATH: ClassVar = STYLES / "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"pane('{name}')", f"app.pane_{name}", show=False)
          for number, name in enumerate(PANES, start=1)),
        Binding("question_mark,f1", "help", "app.key_help"),
        Binding("exclamation_mark", "alerts", "app.key_alerts"),
        Binding("colon", "command_palette", "app.key_palette"),
        Binding("y", "copy", "app.key_copy"),
        Binding("Y", "copy_screen", "app.key_copy_screen", show=False),
        Binding("comma", "settings", "app.key_settings", show=False),
        Binding("f8", "picture", "app.key_picture", show=False),
        Binding("q", "leave", "app.key_quit"),
        Binding("ctrl+q", "leave", show=False, priority=True),
        Binding("ctrl+c", "reassure", show=False),
    ]  # fmt: skip

    snapshot: var[Snapshot] = var(Snapshot(0.0), init=False, always_update=True)
    preferences: var[Preferences] = var(Preferences(), init=False)
    graphics: var[str] = var("blocks", init=False)
    """With what pictures are drawn."""
    overlay: var[tuple[str, ...]] = var((), init=False)
    """Runs that were chosen for the charts; none: the usual ones."""

    def __init__(
        self, roots: WorkspacePaths | None, *, read_only: bool = False, graphics: str = "blocks"
    ) -> None:
        """Show a workspace.

        Args:
            roots: where it is; ``None`` for the welcome screen.
            read_only: start, stop and write nothing.
            graphics: with which of ``core.graphics.GRAPHICS`` the terminal draws pictures.
        """
        super().__init__()
        self._asked_read_only = read_only
        self._terminal_graphics = graphics
        self.set_reactive(DiffBEVApp.preferences, read_preferences(settings_file()))
        begin_with_theme(self, self.preferences.theme)
        self._open(roots)

    def _open(self, roots: WorkspacePaths | None) -> None:
        self.roots = roots
        self.poller = WorkspacePoller(roots, read_only=self._asked_read_only)
        self.set_reactive(DiffBEVApp.snapshot, Snapshot(0.0, roots, read_only=self.poller.read_only))
        self._gpus = GpuReading()
        self._said_locked = False
        self._opened = time.time()
        self.set_reactive(DiffBEVApp.overlay, ())

    @property
    def read_only(self) -> bool:
        """Whether nothing may be started, stopped or written from here."""
        return self.poller.read_only

    def _best_graphics(self) -> str:
        """What is chosen for a terminal does not hold in a browser."""
        return (not self.is_web and self.preferences.graphics) or self._terminal_graphics

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What this terminal can show."""
        return terminal_filters(super().get_line_filters(), self.ansi_theme, os.environ)

    def get_default_screen(self) -> MainScreen:
        """The screen of the panes."""
        return MainScreen(id="_default")

    @property
    def main_screen(self) -> MainScreen | None:
        """The screen of the panes, also below a dialog; ``None`` while the app is closing."""
        main = self.screen_stack[0] if self.screen_stack else None
        return main if isinstance(main, MainScreen) else None

    @property
    def pane(self) -> Pane | None:
        """The pane in view."""
        return self.main_screen.pane if self.main_screen else None

    @property
    def _commands(self) -> CommandStrip:
        return self.screen_stack[0].query_one(CommandStrip)

    def compose(self) -> ComposeResult:
        """Status, tabs, the pane, keys."""
        yield StatusLine()
        yield TabLine(tuple(PANES))
        yield PaneSwitcher(id="panes").data_bind(
            DiffBEVApp.snapshot, DiffBEVApp.preferences, DiffBEVApp.graphics, DiffBEVApp.overlay
        )
        yield CommandStrip().data_bind(DiffBEVApp.snapshot)
        yield KeyLine()

    async def on_mount(self) -> None:
        """Poll, then show the first screen; GPUs and alerts come after it."""
        self.graphics = self._best_graphics()  # only now is it known whether this is a browser
        leave_on_signals(self, lambda: self.poller.close())
        self._poll()
        self._timer = self.set_interval(self.preferences.pace, self._tick)
        if self.roots is not None:
            await self._wait_for_the_first_snapshot()
            await self.show_pane("runbook")
        elif self.main_screen is not None:
            await self.main_screen.welcome()
        self.set_timer(_SETTLED_S, self._prepare)

    async def _wait_for_the_first_snapshot(self) -> None:
        """So that the first screen is painted whole, and once; a disk that hangs is not waited for."""
        importlib.import_module("diffbev_tui.runbook.pane")
        end = time.monotonic() + _FIRST_SNAPSHOT_S
        while self.busy_seconds(_FILES) and time.monotonic() < end:
            await asyncio.sleep(0.002)
        if self.poller.newest is not None:
            self.snapshot = self.poller.newest

    def _prepare(self) -> None:
        if self.main_screen is not None:
            self.run_worker(self.main_screen.switcher.prepare(panes=self.roots is not None))

    async def open_workspace(self, roots: WorkspacePaths) -> None:
        """Leave the welcome screen for a workspace."""
        if self.main_screen is not None:
            await self.main_screen.clear()
        self._open(roots)
        await self.show_pane("runbook")
        self._tick()
        self._prepare()

    # polling -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._poll()
        self._show_lines()

    def _poll(self) -> None:
        if not self.busy_seconds(_FILES):
            self.run_in_thread(_FILES, self.poller.read_files, SnapshotTaken)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Hand a snapshot on."""
        snapshot = message.snapshot
        if snapshot.roots != self.roots:
            return
        if snapshot is not self.snapshot:  # the first one is shown as soon as its pane is there
            self.snapshot = replace(snapshot, gpus=self._gpus, gpu_history=self.poller.gpu_history)
        self._show_lines()
        self.call_after_refresh(self._poll_the_rest)  # what is on the screen comes first
        if snapshot.lock_owner and not self._said_locked:
            self._said_locked = True
            self.say(tr("app.seat_taken", owner=snapshot.lock_owner), "warning")

    def _poll_the_rest(self) -> None:
        if not self.busy_seconds("gpus"):
            self.run_in_thread("gpus", self.poller.read_gpus, GpusRead)

    def on_gpus_read(self, message: GpusRead) -> None:
        """Shown with the next snapshot."""
        self._gpus = message.reading

    def watch_snapshot(self, before: Snapshot, now: Snapshot) -> None:
        """Say what needs attention, also while another screen is shown."""
        if before.roots != now.roots:
            return
        found = new_alerts(before.alerts, now.alerts, self._opened)
        for one in found[-_MOST_TOASTS:]:
            self.say(one.words, "information" if one.good else "error")
        if len(found) > _MOST_TOASTS:
            self.say(tr("app.more_alerts", count=len(found) - _MOST_TOASTS), "warning")

    def on_job_failed(self, message: JobFailed) -> None:
        """Say what went wrong in a thread."""
        self.say(message.words, "error")

    def _show_lines(self) -> None:
        if self.main_screen is not None:
            late = self.busy_seconds(_FILES)
            self.main_screen.show_lines(self.snapshot, read_only=self.read_only, behind_s=late)

    # panes ---------------------------------------------------------------------------------------

    async def show_pane(self, name: str, run: str = "", *, step: str = "", action: str = "") -> None:
        """Show a pane; see ``MainScreen.show_pane``."""
        if self.roots is not None and self.main_screen is not None:
            await self.main_screen.show_pane(name, run, step=step, action=action)
            self._show_lines()

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """A click on a tab."""
        self.run_worker(self.show_pane(message.name))

    async def action_pane(self, name: str) -> None:
        """Switch to a pane."""
        await self.show_pane(name)

    # asked by screens ----------------------------------------------------------------------------

    def on_say(self, message: Say) -> None:
        """A toast."""
        self.say(message.text, message.severity)

    def on_copy(self, message: Copy) -> None:
        """To the clipboard."""
        self.copy(message.text)

    def on_prefer(self, message: Prefer) -> None:
        """Other preferences."""
        from diffbev_tui.widgets.settings import Settings

        self.prefer(**message.choices)
        if isinstance(self.screen, Settings):
            self.screen.show(self.preferences)

    def on_show_screen(self, message: ShowScreen) -> None:
        """Another screen."""
        shown = self.show_pane(message.name, message.run, step=message.step, action=message.action)
        self.run_worker(shown)

    def on_overlay(self, message: Overlay) -> None:
        """Other curves."""
        self.overlay = message.runs

    def on_run_fix(self, message: RunFix) -> None:
        """Preview it."""
        self._commands.ask(message.fix)

    def on_follow_command(self, message: FollowCommand) -> None:
        """Show its progress."""
        self._commands.follow(message.process)

    def on_offer_fixes(self, message: OfferFixes) -> None:
        """Look for them."""
        self._commands.offer(message.run)

    def on_send_test_notification(self) -> None:
        """Send it."""
        self._commands.send_test_notification()

    def on_poll_now(self) -> None:
        """Something was changed."""
        self.run_in_thread(_FILES, self.poller.read_files, SnapshotTaken)

    def on_open_workspace(self, message: OpenWorkspace) -> None:
        """A workspace instead of the welcome screen."""
        self.run_worker(self.open_workspace(message.roots))

    def say(self, text: str, severity: Severity = "information") -> None:
        """A toast; an error also rings the bell."""
        self.notify(text, severity=severity, markup=False, timeout=15 if severity == "error" else 6)
        if severity == "error":
            self.bell()

    def copy(self, text: str) -> None:
        """To the clipboard of the terminal in front of the user, and always to a file."""
        self.copy_to_clipboard(text)
        try:
            self.say(tr("app.copied", path=keep_clip(text)))
        except OSError as error:
            self.say(tr("app.copied_without_file", why=error.strerror or str(error)), "warning")

    # actions -------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Help for the pane in view."""
        from diffbev_tui.widgets.help import Help

        name = (self.main_screen and self.main_screen.switcher.shown) or "welcome"
        keys = keys_of(self.screen, all_keys=True)
        self.push_screen(Help(tr("app.pane_" + name), tr_if_key(f"{name}.help"), keys))

    def action_copy(self) -> None:
        """Copy what is in focus."""
        text = self.pane.copy_text() if self.pane is not None else None
        if text:
            self.copy(text)
        else:
            self.say(tr("app.nothing_to_copy"))

    def action_copy_screen(self) -> None:
        """Copy all that is on the screen, as text."""
        from diffbev_tui.screen_text import text_of  # not at the start of the UI

        self.copy(text_of(self.export_screenshot()))

    def action_alerts(self) -> None:
        """What happened to the runs, and when."""
        from diffbev_tui.widgets.alert_list import AlertList

        self.push_screen(AlertList(self.snapshot.alerts, read_only=self.read_only), self._alert_chosen)

    def _alert_chosen(self, chosen: RunAlert | None) -> None:
        if chosen is not None:
            name = "memory" if chosen.alert.kind is AlertKind.OOM else "monitor"
            self.run_worker(self.show_pane(name, chosen.run))

    def action_settings(self) -> None:
        """Language, theme, pace and smoothing in one place."""
        from diffbev_tui.widgets.settings import Settings

        self.push_screen(Settings(self.preferences), lambda _: self._show_lines())

    def prefer(self, **choices: str | float) -> None:
        """Make choices of ``Preferences`` hold, at once and from now on."""
        self.preferences = replace(self.preferences, **choices)  # type: ignore[arg-type]
        self.graphics = self._best_graphics()
        if "language" in choices:
            set_language("zh" if self.preferences.language == "zh" else "en")
            if self.main_screen is not None:
                self.main_screen.switcher.retranslate()
        if "theme" in choices:
            self.theme = self.preferences.theme
        if "pace" in choices:
            self._timer.stop()
            self._timer = self.set_interval(self.preferences.pace, self._tick)
        self._show_lines()
        self.call_after_refresh(self._remember)  # only what could be shown

    def _remember(self) -> None:
        try:
            write_preferences(settings_file(), self.preferences)
        except OSError as error:
            self.say(tr("app.not_remembered", why=error.strerror or str(error)), "warning")

    def action_picture(self) -> None:
        """A picture of the screen, as SVG in the current folder."""
        try:
            self.say(tr("app.picture", path=Path(self.save_screenshot()).absolute()))
        except OSError as error:
            self.say(error.strerror or str(error), "error")

    def action_reassure(self) -> None:
        """Ctrl+C ends nothing."""
        self.say(tr("app.ctrl_c"))

    def action_leave(self) -> None:
        """Close a dialog, else the app; with a run in progress, ask how."""
        leave(self, self.snapshot.current, self._stop_and_leave, read_only=self.read_only)

    def _stop_and_leave(self, run: Path) -> None:
        from diffbev_engine.runs.actions import stop_run

        self.say(tr("app.stopping", run=run.name))
        self.run_in_thread("stop", partial(stop_run, run), RunStopped)

    def on_run_stopped(self) -> None:
        """It has saved and ended: leave."""
        self.exit()

    def on_unmount(self) -> None:
        """Let others act."""
        self.poller.close()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """For the command palette."""
        from diffbev_tui.palette_commands import palette_commands

        yield from palette_commands(self, screen, self._commands, self.snapshot, read_only=self.read_only)
