"""Monitor: live curves of several runs, and the state of the current run."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.core.files import expanded
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.table import is_loss
from diffbev_tui.charts.view_window import Span, ViewWindow
from diffbev_tui.engine import Answer, ask_engine
from diffbev_tui.i18n import tr
from diffbev_tui.messages import Overlay
from diffbev_tui.monitor.chart_grid import ChartGrid
from diffbev_tui.monitor.chart_options import ChartOptions
from diffbev_tui.monitor.chart_pages import ChartPages
from diffbev_tui.monitor.chart_worker import ChartRequest, ChartResult, ChartWorker, RunFacts
from diffbev_tui.monitor.choose_runs import Pick
from diffbev_tui.monitor.columns import choices
from diffbev_tui.monitor.export import export_command, export_file
from diffbev_tui.monitor.shown_runs import ShownRuns
from diffbev_tui.monitor.text import (
    HeadLook,
    head_line,
    log_text,
    run_text,
)
from diffbev_tui.preferences import AUTO, Preferences
from diffbev_tui.run_book import MOST
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.line import Line
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.run_control import RunActed, RunControl

_LINES_AROUND = 5
"""Above the charts, and what most runs take below them."""


class MonitorPane(Pane):
    """Charts, the run, the end of its log."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"stop_run", "resume_run", "export"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "smooth", "monitor.key_smooth", id="monitor.smooth"),
        Binding("e", "log_y", "monitor.key_log", id="monitor.log_y"),
        Binding("x", "cursor", "monitor.key_cursor", id="monitor.cursor"),
        Binding("a", "axis", "monitor.key_axis", id="monitor.axis"),
        Binding("t", "follow", "monitor.key_follow", id="monitor.follow"),
        Binding("slash", "metrics", "monitor.key_metrics", id="monitor.metrics"),
        Binding("o", "runs", "monitor.key_runs", id="monitor.runs"),
        Binding("m", "maximise", "monitor.key_maximise", id="monitor.maximise"),
        Binding("S", "stop_run", "monitor.key_stop", id="monitor.stop"),
        Binding("R", "resume_run", "monitor.key_resume", id="monitor.resume"),
        Binding("plus,equals_sign", "zoom(0.5)", "monitor.key_zoom_in", id="monitor.zoom_in", show=False),
        Binding("minus", "zoom(2.0)", "monitor.key_zoom_out", id="monitor.zoom_out", show=False),
        Binding("left,h", "sideways(-1)", "monitor.key_left", id="monitor.left", show=False),
        Binding("right,l", "sideways(1)", "monitor.key_right", id="monitor.right", show=False),
        Binding("c", "clip", "monitor.key_clip", id="monitor.clip", show=False),
        Binding("w", "export", "monitor.key_export", id="monitor.export"),
        Binding("0", "reset", "monitor.key_reset", id="monitor.reset", show=False),
        Binding("n,pagedown", "page(1)", "monitor.key_next_page", id="monitor.next_page", show=False),
        Binding("p,pageup", "page(-1)", "monitor.key_previous_page", id="monitor.previous_page", show=False),
        Binding("f", "focus_run", "monitor.key_focus_run", id="monitor.focus_run", show=False),
    ]

    @dataclass
    class Answered(Message):
        """A result is ready."""

        result: ChartResult

        def can_replace(self, message: Message) -> bool:
            """Only the newest counts."""
            return isinstance(message, MonitorPane.Answered)

    @dataclass
    class Exported(Message):
        """Curves were written to a file, or not."""

        answer: Answer

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.worker = ChartWorker(lambda result: self.post_message(self.Answered(result)))
        self.result: ChartResult | None = None
        self.request = ChartRequest()
        self.options = ChartOptions()
        self.pages = ChartPages()
        self._shown = ShownRuns()
        self._control = RunControl(self)

    def compose(self) -> ComposeResult:
        """One line, the grid, the run, its log."""
        yield Line(id="monitor-head", markup=False)
        yield ChartGrid(self.pages, id="monitor-charts")
        yield Static(tr("monitor.no_runs"), id="monitor-empty", markup=False)
        yield Line(id="monitor-run", markup=False)
        yield Line(id="monitor-log", markup=False)

    def on_mount(self) -> None:
        """Begin with the remembered smoothing; another theme has other colours in titles too."""
        self.options = replace(self.options, smoothing=self.preferences.smoothing)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show_words())

    # what is shown -------------------------------------------------------------------------------

    @property
    def run(self) -> RunReport | None:
        """The run below the charts, which S and R act on."""
        return self._shown.focused(self.snapshot)

    @property
    def _dark(self) -> bool:
        return self.app.current_theme.dark

    @property
    def _grid(self) -> ChartGrid:
        return self.query_one(ChartGrid)

    # flow ----------------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Check the files again, in a background thread."""
        self._shown.follow(snapshot, self.overlay)
        self._ask()
        self._show_words()

    def _ask(self) -> None:
        """Ask for a result: what is to be shown, at the sizes that there are now."""
        self._lay_out()
        options, runs = self.options, self._shown.letters
        request = ChartRequest(
            runs=tuple((letter, Path(path)) for letter, path in runs.items()),
            charts=self._grid.charts,
            window=options.window,
            smoothing=options.smoothing_of(len(runs)),
            log_y=options.log_y,
            cursor=options.cursor,
            axis=options.axis,
            clip=options.clip,
            letters_along=self.app.no_color,
            followed=self._shown.letter_of(self.run.path) if self.run else "",
        )
        if request != self.request:  # the same request needs no other answer
            self.request = request
        self.call_after_refresh(self._ask_worker)  # what answers the key comes before the work for the charts

    def _ask_worker(self) -> None:
        self.worker.ask(self.request)

    def _lay_out(self) -> None:
        run, log = self.query_one("#monitor-run"), self.query_one("#monitor-log")
        width, height = self.room
        log_lines = 1 if height < 20 else 2 if height < 30 else 6
        self._grid.lay_out(width, height - log_lines - _LINES_AROUND)
        log.styles.height = log_lines
        run.styles.max_height = max(2, height // 3)

    def on_chart_panel_resized(self) -> None:
        """Draw for the new size."""
        if self.snapshot.taken:
            self._ask()

    def on_monitor_pane_answered(self, message: Answered) -> None:
        """Show a result."""
        self.result = message.result
        if not self.ready:
            return
        facts = message.result.facts
        losses = {frozenset(filter(is_loss, one.columns)) for one in facts if one.rows}
        if self.pages.know(message.result.columns, methods_differ=len(losses) > 1):
            self._ask()
        self._grid.show(message.result, dark=self._dark)
        self._show_words()

    def _show_words(self) -> None:
        snapshot = self.snapshot
        if not self.ready:
            return
        empty = not self._shown.letters
        self.query_one("#monitor-empty").display = empty and snapshot.taken > 0
        self._grid.display = not empty
        names = self._shown.names()
        look = HeadLook(self.worker.busy_s, self.options.smoothing == AUTO, self._dark)
        head = head_line(self.request, self.result, names, self.pages, look)
        self.query_one("#monitor-head", Line).put(Text() if empty else head)
        run, log = self.query_one("#monitor-run", Line), self.query_one("#monitor-log", Line)
        run.display = log.display = self.run is not None
        if self.run is not None:
            facts = self._facts()
            letter = self._shown.letter_of(self.run.path)
            run.put(run_text(letter, self.run, facts, snapshot.taken, self.room.width, dark=self._dark))
            lines = int(log.styles.height.value) if log.styles.height else 0
            log.put(log_text(facts.log, lines) if facts and facts.log else Text(tr("monitor.no_log")))

    def _facts(self) -> RunFacts | None:
        letter = self._shown.letter_of(self.run.path) if self.run else ""
        return (
            next((facts for facts in self.result.facts if facts.letter == letter), None)
            if self.result
            else None
        )

    # keys ----------------------------------------------------------------------------------------

    @property
    def _span(self) -> Span | None:
        return self.result.span if self.result else None

    def _show(self, options: ChartOptions) -> None:
        self.options = options
        self._ask()
        self._show_words()

    def update_preferences(self, before: Preferences) -> None:
        """The smoothing that was chosen in the settings."""
        if before.smoothing != self.preferences.smoothing:
            self._show(replace(self.options, smoothing=self.preferences.smoothing))

    def action_smooth(self) -> None:
        """The next smoothing that looks different."""
        self._show(self.options.next_smoothing(len(self._shown.letters)))

    def action_log_y(self) -> None:
        """Logarithmic y on or off."""
        self._show(replace(self.options, log_y=not self.options.log_y))

    def action_axis(self) -> None:
        """Iterations, time since the start, wall time, in turns."""
        self._show(self.options.next_axis())

    def action_clip(self) -> None:
        """Show everything, or leave single values out that would flatten the rest."""
        self._show(replace(self.options, clip=not self.options.clip))

    def action_zoom(self, factor: float) -> None:
        """Closer or further away, around the cursor if there is one."""
        if self._span:
            self._show(self.options.zoomed(self._span, factor))

    def action_reset(self) -> None:
        """All steps."""
        self._show(replace(self.options, window=ViewWindow()))

    def action_follow(self) -> None:
        """all, tail, frozen, in turns."""
        if self._span:
            self._show(self.options.next_follow(self._span))

    def action_sideways(self, direction: int) -> None:
        """Move the cursor by a column of the chart, else the window."""
        if self._span:
            columns = max(width for _, (width, _) in self._grid.charts)
            self._show(self.options.sideways(self._span, direction, columns))

    def action_cursor(self) -> None:
        """Cursor on, at the newest step in view, or off."""
        if self.options.cursor is not None:
            self._show(replace(self.options, cursor=None))
        elif self._span:
            self._show(self.options.with_cursor(self._span))

    def action_page(self, direction: int) -> None:
        """Other charts."""
        self.pages.turn(direction)
        self._show(self.options)

    def action_maximise(self) -> None:
        """The chart in focus alone, or all of them again."""
        self._grid.maximise()
        self._show(self.options)

    def go_to_run(self, run: str) -> None:
        """The figures of that run below the charts, and its curves in them."""
        self._shown.focus(run)
        if not self._shown.letter_of(run):
            self.ask_app(Overlay((*self._shown.letters.values(), run)[-MOST:]))

    def action_focus_run(self) -> None:
        """The figures of the next run below the charts."""
        self._shown.focus_next(self.snapshot)
        self._show(self.options)

    def action_metrics(self) -> None:
        """Choose metrics by typing."""
        options = choices(self.result.columns if self.result else ())
        self.app.push_screen(
            Pick(tr("monitor.pick_metrics"), options, self.pages.metrics), self._metrics_chosen
        )

    def _metrics_chosen(self, chosen: tuple[str, ...] | None) -> None:
        self.pages.choose(chosen or ())
        self._show(self.options)

    def action_runs(self) -> None:
        """Choose the runs to be overlaid."""
        chosen = tuple(self._shown.letters.values())
        options = self._shown.choices(self.snapshot)
        self.app.push_screen(Pick(tr("monitor.pick_runs"), options, chosen, most=MOST), self._runs_chosen)

    def _runs_chosen(self, chosen: tuple[str, ...] | None) -> None:
        if chosen is not None:
            self.ask_app(Overlay(chosen))

    def action_export(self) -> None:
        """Write what is shown to a file."""
        if self._span is None or self.roots is None or self.refused():
            return
        default = str(export_file(self.roots.workspace))
        asked = AskText(tr("monitor.ask_export"), tr("monitor.export_formats"), default, default)
        self.app.push_screen(asked, self._export)

    def _export(self, path: str | None) -> None:
        if path and self.result is not None and self.roots is not None:
            output = self.roots.workspace / expanded(path)
            command = export_command(self.result, self._shown.names(), self.pages.on_page, output)
            self.run_in_thread("export", partial(ask_engine, *command), self.Exported)

    def on_monitor_pane_exported(self, message: Exported) -> None:
        """Say where it is."""
        self.say(message.answer.last_line, "error" if message.answer.exit_code else "information")

    def action_stop_run(self) -> None:
        """Stop the run below gracefully, after a question."""
        self._control.stop(self.run)

    def action_resume_run(self) -> None:
        """Resume it, after a question."""
        facts = self._facts()
        self._control.resume(self.run, facts.checkpoint if facts else None)

    def on_run_acted(self, message: RunActed) -> None:
        """Say what became of it."""
        self.say(message.words)

    def copy_text(self) -> str | None:
        """The chart in focus as numbers, and the run."""
        panel = self._grid.focused
        title = panel.title.plain if panel is not None else ""
        run = str(self.query_one("#monitor-run", Static).content)
        return "\n".join(part for part in (title, run) if part) or None
