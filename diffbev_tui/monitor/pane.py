"""Monitor: live curves of several runs, and the state of the current run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.table import is_loss
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.panel import ChartPanel
from diffbev_tui.charts.view_window import Span, ViewWindow
from diffbev_tui.engine import Answer, ask_engine
from diffbev_tui.i18n import tr
from diffbev_tui.messages import Overlay
from diffbev_tui.monitor.chart_pages import ChartPages
from diffbev_tui.monitor.chart_worker import ChartRequest, ChartResult, ChartWorker, RunFacts
from diffbev_tui.monitor.choose_runs import Pick
from diffbev_tui.monitor.columns import choices
from diffbev_tui.monitor.shown_runs import ShownRuns
from diffbev_tui.monitor.text import (
    HeadLook,
    chart_note,
    chart_title,
    head_line,
    log_text,
    run_steps,
    run_text,
)
from diffbev_tui.preferences import AUTO, SMOOTHINGS, Preferences
from diffbev_tui.run_book import MOST, short_names
from diffbev_tui.run_state import run_state
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.line import Line
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainContainer
from diffbev_tui.widgets.run_control import RunActed, RunControl

_PANELS = 9
_LINES_AROUND = 5
"""Above the charts, and what most runs take below them."""
_SMOOTH_OVERLAYS = 0.9


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
        self.pages = ChartPages()
        self._shown = ShownRuns()
        self._control = RunControl(self)
        self._smoothing = AUTO

    def compose(self) -> ComposeResult:
        """One line, the grid, the run, its log."""
        yield Line(id="monitor-head", markup=False)
        with PlainContainer(id="monitor-charts"):
            for number in range(_PANELS):
                yield ChartPanel(id=f"monitor-chart-{number}")
        yield Static(tr("monitor.no_runs"), id="monitor-empty", markup=False)
        yield Line(id="monitor-run", markup=False)
        yield Line(id="monitor-log", markup=False)

    def on_mount(self) -> None:
        """Begin with the remembered smoothing; another theme has other colours in titles too."""
        self._smoothing = self.preferences.smoothing
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show_words())

    # what is shown -------------------------------------------------------------------------------

    @property
    def run(self) -> RunReport | None:
        """The run below the charts, which S and R act on."""
        return self._shown.focused(self.snapshot)

    @property
    def _dark(self) -> bool:
        return self.app.current_theme.dark

    def _panels(self) -> list[ChartPanel]:
        return list(self.query(ChartPanel))

    # flow ----------------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Check the files again, in a background thread."""
        self._shown.follow(snapshot, self.overlay)
        self._ask()
        self._show_words()

    def _ask(self, **changes: object) -> None:
        """Ask for a result: what is to be shown, at the sizes that there are now."""
        self._lay_out()
        charts = tuple(
            (column, panel.figure_size)
            for column, panel in zip(self.pages.on_page, self._panels(), strict=False)
        )
        request = replace(
            self.request,
            runs=tuple((letter, Path(path)) for letter, path in self._shown.letters.items()),
            charts=charts,
            smoothing=self._effective_smoothing,
            letters_along=self.app.no_color,
            followed=self._shown.letter_of(self.run.path) if self.run else "",
            **changes,  # type: ignore[arg-type]
        )
        if request != self.request:  # the same request needs no other answer
            self.request = request
        self.call_after_refresh(self._ask_worker)  # what answers the key comes before the work for the charts

    @property
    def _effective_smoothing(self) -> float:
        """What was chosen; by itself where noisy curves would lie over each other."""
        if self._smoothing != AUTO:
            return self._smoothing
        return _SMOOTH_OVERLAYS if len(self._shown.letters) > 1 else 0.0

    def _ask_worker(self) -> None:
        self.worker.ask(self.request)

    def _lay_out(self) -> None:
        charts, run, log = (self.query_one(f"#monitor-{part}") for part in ("charts", "run", "log"))
        width, height = self.room
        log_lines = 1 if height < 20 else 2 if height < 30 else 6
        self.pages.fit(width, charts.size.height or height - log_lines - _LINES_AROUND)
        if (charts.styles.grid_size_columns, charts.styles.grid_size_rows) != self.pages.grid:
            charts.styles.grid_size_columns, charts.styles.grid_size_rows = self.pages.grid
        shown = len(self.pages.on_page)
        for number, panel in enumerate(self._panels()):
            panel.display = number < shown
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
        self._show_charts(message.result)
        self._show_words()

    def _show_charts(self, result: ChartResult) -> None:
        charts = {chart.column: chart for chart in result.charts}
        for column, panel in zip(self.pages.on_page, self._panels(), strict=False):
            chart = charts.get(column)
            if chart is not None:
                title = chart_title(chart, result.request.cursor, dark=self._dark)
                panel.show(column, title, chart.figure, chart_note(chart, result.columns))

    def _show_words(self) -> None:
        snapshot = self.snapshot
        if not self.ready:
            return
        empty = not self._shown.letters
        self.query_one("#monitor-empty").display = empty and snapshot.taken > 0
        self.query_one("#monitor-charts").display = not empty
        names = self._shown.names()
        look = HeadLook(self.worker.busy_s, self._smoothing == AUTO, self._dark)
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

    def action_smooth(self) -> None:
        """The next smoothing that looks different."""
        before, place = self._effective_smoothing, SMOOTHINGS.index(self._smoothing)
        for by in (1, 2):
            self._smoothing = SMOOTHINGS[(place + by) % len(SMOOTHINGS)]
            if self._effective_smoothing != before:
                break
        self._change()

    def go_to_run(self, run: str) -> None:
        """The figures of that run below the charts, and its curves in them."""
        self._shown.focus(run)
        if not self._shown.letter_of(run):
            self.ask_app(Overlay((*self._shown.letters.values(), run)[-MOST:]))

    def update_preferences(self, before: Preferences) -> None:
        """The smoothing that was chosen in the settings."""
        if before.smoothing != self.preferences.smoothing:
            self._smoothing = self.preferences.smoothing
            self._change()

    def action_log_y(self) -> None:
        """Logarithmic y on or off."""
        self._change(log_y=not self.request.log_y)

    def action_axis(self) -> None:
        """Iterations, time since the start, wall time, in turns."""
        axes = list(Axis)
        axis = axes[(axes.index(self.request.axis) + 1) % len(axes)]
        self._change(axis=axis, window=ViewWindow(self.request.window.follow), cursor=None)

    def action_clip(self) -> None:
        """Show everything, or leave single values out that would flatten the rest."""
        self._change(clip=not self.request.clip)

    def _change(self, **changes: object) -> None:
        self._ask(**changes)
        self._show_words()

    def _move(self, change: Callable[[ViewWindow, Span], ViewWindow]) -> None:
        span = self.result.span if self.result else None
        if span is not None:
            self._change(window=change(self.request.window, span))

    def action_zoom(self, factor: float) -> None:
        """Closer or further away, around the cursor if there is one."""
        self._move(lambda window, span: window.zoomed(span, factor, self.request.cursor))

    def action_reset(self) -> None:
        """All steps."""
        self._change(window=ViewWindow())

    def action_follow(self) -> None:
        """all, tail, frozen, in turns."""
        self._move(lambda window, span: window.next_follow(span))

    def action_sideways(self, direction: int) -> None:
        """Move the cursor by a column of the chart, else the window."""
        if self.request.cursor is None or self.result is None or self.result.span is None:
            self._move(lambda window, span: window.panned(span, direction))
            return
        left, right = self.request.window.of(self.result.span)
        columns = max(panel.figure_size[0] for panel in self._panels())
        cursor = self.request.cursor + direction * max((right - left) / max(columns - 6, 1), 1.0)
        cursor = min(max(round(cursor), self.result.span.first), self.result.span.last)
        self._change(cursor=cursor, window=self.request.window.showing(self.result.span, cursor))

    def action_cursor(self) -> None:
        """Cursor on, at the newest step in view, or off."""
        if self.request.cursor is not None:
            self._change(cursor=None)
        elif self.result is not None and self.result.span is not None:
            self._change(cursor=float(round(self.request.window.of(self.result.span)[1])))

    def action_page(self, direction: int) -> None:
        """Other charts."""
        self.pages.turn(direction)
        self._change()

    def action_maximise(self) -> None:
        """The chart in focus alone, or all of them again."""
        panels = self._panels()
        focused = next((panel for panel in panels if panel.has_focus), panels[0])
        self.pages.maximised = None if self.pages.maximised else focused.column or self.pages.metrics[0]
        if self.pages.maximised:
            panels[0].focus()
        self._change()

    def action_focus_run(self) -> None:
        """The figures of the next run below the charts."""
        self._shown.focus_next(self.snapshot)
        self._change()

    def action_metrics(self) -> None:
        """Choose metrics by typing."""
        options = choices(self.result.columns if self.result else ())
        self.app.push_screen(
            Pick(tr("monitor.pick_metrics"), options, self.pages.metrics), self._metrics_chosen
        )

    def _metrics_chosen(self, chosen: tuple[str, ...] | None) -> None:
        self.pages.choose(chosen or ())
        self._change()

    def action_runs(self) -> None:
        """Choose the runs to be overlaid."""
        runs = self.snapshot.runs
        options = [
            (run.path, f"{self.snapshot.book.letter(run.path)} {name}  {run_state(run)}  {run_steps(run)}")
            for run, name in zip(runs, short_names([run.path for run in runs]), strict=True)
        ]
        chosen = tuple(self._shown.letters.values())
        self.app.push_screen(Pick(tr("monitor.pick_runs"), options, chosen, most=MOST), self._runs_chosen)

    def _runs_chosen(self, chosen: tuple[str, ...] | None) -> None:
        if chosen is not None:
            self.ask_app(Overlay(chosen))

    def action_export(self) -> None:
        """Write what is shown to a file."""
        if self.result is None or self.result.span is None or self.roots is None or self.refused():
            return
        name = f"curves_{time.strftime('%Y%m%d_%H%M%S')}.png"
        default = str(self.roots.workspace / "reports" / "curves" / name)
        asked = AskText(tr("monitor.ask_export"), tr("monitor.export_formats"), default, default)
        self.app.push_screen(asked, self._export)

    def _export(self, path: str | None) -> None:
        if not path or self.result is None or self.roots is None:
            return
        first, last = self._steps_in_view()
        names = self._shown.names()
        arguments = [
            *("runs", "export-curves", *self._shown.letters.values()),
            *("--columns", ",".join(self.pages.on_page), "--names", ",".join(names.values())),
            *("--steps", f"{first:.0f}:{last:.0f}", "--smoothing", str(self.request.smoothing)),
            *("--output", str(self.roots.workspace / Path(path).expanduser())),
            *(["--log-y"] if self.request.log_y else []),
        ]
        self.run_in_thread("export", partial(ask_engine, *arguments), self.Exported)

    def _steps_in_view(self) -> tuple[float, float]:
        result = self.result
        return result.steps if result is not None else (0.0, 0.0)

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
        panel = next((panel for panel in self._panels() if panel.has_focus), None)
        title = panel.title.plain if panel is not None else ""
        run = str(self.query_one("#monitor-run", Static).content)
        return "\n".join(part for part in (title, run) if part) or None
