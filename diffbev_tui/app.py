"""The app: takes workspace snapshots in a background thread and passes them to the active pane."""

import asyncio
import importlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import ANSIToTruecolor, LineFilter
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen

from diffbev_engine.core.gpu.reading import GpuReading
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.alerts import AlertKind
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.alert_log import RunAlert, new_alerts
from diffbev_tui.detached_process import DetachedProcess, start_or_find
from diffbev_tui.i18n import language, set_language, tr, tr_if_key
from diffbev_tui.messages import (
    Copy,
    OpenWorkspace,
    Overlay,
    Prefer,
    Say,
    Severity,
    ShowScreen,
    SnapshotTaken,
)
from diffbev_tui.palette import Entry, entries
from diffbev_tui.places import keep_clip, settings_file
from diffbev_tui.plain_console import PlainConsole, is_plain_console
from diffbev_tui.poller import WorkspacePoller
from diffbev_tui.preferences import PACES, Preferences, read_preferences, write_preferences
from diffbev_tui.screen_text import text_of
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.switcher import PANES, STYLES, PaneSwitcher
from diffbev_tui.themes import begin_with_theme, theme_names
from diffbev_tui.threads import JobFailed, RunInThread
from diffbev_tui.widgets.key_line import KeyLine, commands_of, keys_of
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainScreen
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
        Binding("L", "language", "app.key_language", show=False),
        Binding("T", "theme", "app.key_theme", show=False),
        Binding("left_square_bracket", "pace(1)", "app.key_slower", show=False),
        Binding("right_square_bracket", "pace(-1)", "app.key_faster", show=False),
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

    @dataclass
    class GpusRead(Message):
        """The driver has answered."""

        reading: GpuReading

    @dataclass
    class ToolStarted(Message):
        """A command of the palette runs."""

        process: DetachedProcess

    @dataclass
    class RunStopped(Message):
        """The run that was to be stopped before leaving has ended."""

        stopped: object

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
        self._truecolor: tuple[object, ANSIToTruecolor] | None = None
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
        """The colours of the theme; on a console of plain letters everything is written with them."""
        theme = self.ansi_theme
        if self._truecolor is None or self._truecolor[0] is not theme:
            self._truecolor = (theme, ANSIToTruecolor(theme))
        own = self._truecolor[1]
        filters = [own if isinstance(one, ANSIToTruecolor) else one for one in super().get_line_filters()]
        return [*filters, PlainConsole()] if is_plain_console(os.environ) else filters

    def get_default_screen(self) -> PlainScreen:
        """The parent of the panes."""
        return PlainScreen(id="_default")

    def compose(self) -> ComposeResult:
        """Status, tabs, the pane, keys."""
        yield StatusLine()
        yield TabLine(tuple(PANES))
        yield PaneSwitcher(id="panes").data_bind(
            DiffBEVApp.snapshot, DiffBEVApp.preferences, DiffBEVApp.graphics, DiffBEVApp.overlay
        )
        yield KeyLine()

    async def on_mount(self) -> None:
        """Poll, then show the first screen; GPUs and alerts come after it."""
        self.graphics = self._best_graphics()  # only now is it known whether this is a browser
        self._leave_on_signals()
        self._poll()
        self._timer = self.set_interval(self.preferences.pace, self._tick)
        if self.roots is None:
            await self._welcome()
        else:
            await self._wait_for_the_first_snapshot()
            await self.show_pane("runbook")
        self.set_timer(_SETTLED_S, self._prepare)

    def _leave_on_signals(self) -> None:
        """A request to end puts the terminal back as it was; runs are not affected."""
        if self.is_headless or self.is_web or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)

    def _leave_if_the_terminal_is_gone(self) -> None:
        """Nobody sees or types anything any more, and Textual would read its end for ever."""
        if self.is_headless or self.is_web or sys.__stdin__ is None:
            return
        hang_up = select.poll()
        hang_up.register(sys.__stdin__.fileno(), 0)  # errors only, which need not be asked for
        if hang_up.poll(0):
            self.poller.close()
            os._exit(128 + signal.SIGHUP)  # its input thread spins, and the terminal takes no last words

    async def _wait_for_the_first_snapshot(self) -> None:
        """So that the first screen is painted whole, and once; a disk that hangs is not waited for."""
        importlib.import_module("diffbev_tui.runbook.pane")
        end = time.monotonic() + _FIRST_SNAPSHOT_S
        while self.busy_seconds(_FILES) and time.monotonic() < end:
            await asyncio.sleep(0.002)
        if self.poller.newest is not None:
            self.snapshot = self.poller.newest

    def _prepare(self) -> None:
        if self.screen_stack:  # else the app is closing
            self.run_worker(self._switcher.prepare(panes=self.roots is not None))

    async def _welcome(self) -> None:
        from diffbev_tui.welcome.pane import WelcomePane

        self.query_one(TabLine).display = False
        await self._switcher.show_alone(WelcomePane(id="pane-welcome"), "welcome")
        self.query_one(WelcomePane).focus_first()

    async def open_workspace(self, roots: WorkspacePaths) -> None:
        """Leave the welcome screen for a workspace."""
        await self._switcher.clear()
        self.query_one(TabLine).display = True
        self._open(roots)
        await self.show_pane("runbook")
        self._tick()
        self._prepare()

    # polling -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._leave_if_the_terminal_is_gone()
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
            self.run_in_thread("gpus", self.poller.read_gpus, self.GpusRead)

    def on_diff_bevapp_gpus_read(self, message: GpusRead) -> None:
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
        if len(self.screen_stack) != 1 or not self.query(StatusLine):  # a dialog, or the app is closing
            return
        status = self.query_one(StatusLine)
        status.show(self.snapshot, read_only=self.read_only, behind_s=self.busy_seconds(_FILES))
        self.query_one(TabLine).show(self._switcher.shown)
        self._show_keys()

    def _show_keys(self) -> None:
        self.query_one(KeyLine).show(read_only=self.snapshot.read_only)

    # panes ---------------------------------------------------------------------------------------

    @property
    def _switcher(self) -> PaneSwitcher:
        return self.screen_stack[0].query_one(PaneSwitcher)

    @property
    def pane(self) -> Pane | None:
        """The pane in view."""
        found = self.screen_stack[0].query(PaneSwitcher) if self.screen_stack else None  # the app is closing
        return found.first().in_view if found else None

    async def show_pane(self, name: str, run: str = "") -> None:
        """Show a pane, with what it says of ``run``; it is made when it is shown for the first time."""
        if self.roots is not None:
            await self._switcher.show(name, run)
            self._show_lines()

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """A click on a tab."""
        self.run_worker(self.show_pane(message.name))

    async def action_pane(self, name: str) -> None:
        """Switch to a pane."""
        await self.show_pane(name)

    def on_descendant_focus(self) -> None:
        """Other keys work now."""
        if len(self.screen_stack) == 1:
            self.call_after_refresh(self._show_keys)

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
        self.run_worker(self.show_pane(message.name, message.run))

    def on_overlay(self, message: Overlay) -> None:
        """Other curves."""
        self.overlay = message.runs

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

        name = self._switcher.shown or "welcome"
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
        self.copy(text_of(self.export_screenshot()))

    def action_alerts(self) -> None:
        """What happened to the runs, and when."""
        from diffbev_tui.widgets.alert_list import AlertList

        self.push_screen(AlertList(self.snapshot.alerts), self._alert_chosen)

    def _alert_chosen(self, chosen: RunAlert | None) -> None:
        if chosen is not None:
            name = "memory" if chosen.alert.kind is AlertKind.OOM else "monitor"
            self.run_worker(self.show_pane(name, chosen.run))

    def action_settings(self) -> None:
        """Language, theme, pace and smoothing in one place."""
        from diffbev_tui.widgets.settings import Settings

        self.push_screen(Settings(self.preferences), lambda _: self._show_lines())

    def action_language(self) -> None:
        """The other language."""
        self.prefer(language="en" if language() == "zh" else "zh")

    def action_theme(self) -> None:
        """The next theme."""
        names = theme_names(self.available_themes)
        self.prefer(theme=names[(names.index(self.theme) + 1) % len(names)])
        self.say(tr("app.theme", name=self.theme))

    def action_pace(self, step: int) -> None:
        """Look less or more often."""
        place = min(max(PACES.index(self.preferences.pace) + step, 0), len(PACES) - 1)
        self.prefer(pace=PACES[place])
        self.say(tr("app.pace", seconds=PACES[place]))

    def prefer(self, **choices: str | float) -> None:
        """Make choices of ``Preferences`` hold, at once and from now on."""
        self.preferences = replace(self.preferences, **choices)  # type: ignore[arg-type]
        self.graphics = self._best_graphics()
        if "language" in choices:
            set_language("zh" if self.preferences.language == "zh" else "en")
            self._switcher.retranslate()
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
        if len(self.screen_stack) > 1 and self.screen.is_modal:
            self.screen.dismiss(None)
        else:
            self._leave(self.snapshot.current)

    def _leave(self, run: RunReport | None) -> None:
        """Leave; while ``run`` is running, ask whether to detach from it or to stop it."""
        from diffbev_tui.widgets.dialogs import leaving

        if run is None or run.state is not RunCondition.RUNNING:
            self.exit()
            return
        path = Path(run.path)
        self.push_screen(leaving(path.name, self.read_only), partial(self._left, path))

    def _left(self, run: Path, answer: str | None) -> None:
        if answer == "detach":
            self.exit()
        elif answer == "stop":
            from diffbev_engine.runs.actions import stop_run

            self.say(tr("app.stopping", run=run.name))
            self.run_in_thread("stop", partial(stop_run, run), self.RunStopped)

    def on_diff_bevapp_run_stopped(self) -> None:
        """It has saved and ended: leave."""
        self.exit()

    def on_unmount(self) -> None:
        """Let others act."""
        self.poller.close()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Everything that a key does, by name and with its key; steps, runs, commands of the engine."""
        for what, key, action, node in commands_of(screen):
            run = partial(self.run_action, action, default_namespace=node)
            yield SystemCommand(f"{what}  ({key})", "", lambda run=run: self.run_worker(run()))
        for entry in entries(self.snapshot, read_only=self.read_only):
            yield SystemCommand(entry.title, "", partial(self._follow_entry, entry))

    def _follow_entry(self, entry: Entry) -> None:
        if entry.kind == "step":
            self.run_worker(self._show_step(entry.target[0]))
        elif entry.kind == "run":
            self.run_worker(self.show_pane("monitor", entry.target[0]))
        elif entry.kind == "diagnose":
            self.run_worker(self._diagnose(entry.target[0]))
        elif entry.kind == "compare":
            self.overlay = entry.target
            self.run_worker(self.show_pane("monitor"))
        elif self.roots is not None:
            name, *command = entry.target
            log = self.roots.state_folder / "logs" / f"{name}.log"
            start = partial(start_or_find, command, log, self.roots.workspace)
            self.run_in_thread(f"tool {name}", start, self.ToolStarted)

    async def _diagnose(self, run: str) -> None:
        await self.show_pane("classes", run)
        if self.pane is not None:
            await self.run_action("diagnose", default_namespace=self.pane)

    async def _show_step(self, step: str) -> None:
        await self.show_pane("runbook")
        if self.pane is not None:
            self.pane.go_to_step(step)

    def on_diff_bevapp_tool_started(self, message: ToolStarted) -> None:
        """Follow its output."""
        log = message.process.log
        self.say(tr("app.tool_started", command=log.stem, log=log))
        self.run_worker(self.show_pane("log"))
