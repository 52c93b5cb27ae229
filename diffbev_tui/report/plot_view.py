"""A plot drawn from its numbers, or the picture where a file has none."""

import time
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Grid
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.core.plain_text import plain
from diffbev_engine.report.plot_data import Plot, PlotChart, read_plot
from diffbev_tui.charts.bars import draw_bars
from diffbev_tui.charts.chart import ChartFigure, draw
from diffbev_tui.charts.panel import ChartPanel
from diffbev_tui.i18n import tr
from diffbev_tui.report.files import Entry
from diffbev_tui.report.plots import (
    Letters,
    bars_spec,
    bars_title,
    chart_spec,
    chart_title,
    legend,
    letters_of,
    notes,
    nothing_drawn,
)
from diffbev_tui.run_book import BookPage
from diffbev_tui.threads import RunInThread
from diffbev_tui.widgets.picture import load_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_CHART_COLUMNS, _CHART_LINES = 46, 10
"""Cells that one of several charts needs, its title among them."""


@dataclass(frozen=True, eq=False)
class OpenedPng:
    """What a PNG holds: the numbers of a plot, else pixels."""

    entry: Entry
    as_plot: bool
    """Whether numbers were looked for."""
    plot: Plot | None = None
    letters: Letters = field(default_factory=dict)
    image: "Image | None" = None
    why_picture: str = ""
    """Key of the words that say why a plot is shown as a picture."""
    trouble: str = ""
    """Why there is nothing to show."""


def open_png(entry: Entry, book: BookPage, as_plot: bool) -> OpenedPng:
    """Read a file; to be called from a thread.

    Args:
        entry: of the list.
        book: letters of the runs.
        as_plot: draw it from its numbers where it has them.
    """
    why = ""
    try:
        if as_plot:
            try:
                plot = read_plot(entry.path)
            except ValueError:
                plot, why = None, "report.damaged_numbers"
            if plot is not None:
                return OpenedPng(entry, as_plot, plot, letters_of(plot, entry.path.parent, book))
            why = why or "report.no_numbers"
        return OpenedPng(entry, as_plot, image=load_picture(entry.path), why_picture=why)
    except (OSError, ValueError) as error:
        return OpenedPng(entry, as_plot, trouble=plain(str(error)))


class PlotView(RunInThread, Container):
    """Legend, charts, and what a reader has to know."""

    @dataclass
    class Drawn(Message):
        """A figure is ready."""

        number: int
        figure: ChartFigure

    def __init__(self, plot: Plot, letters: Letters, written: float) -> None:
        super().__init__()
        self._plot, self._letters, self._written = plot, letters, written
        self._least = _CHART_LINES
        """Rows that the charts need together."""

    def compose(self) -> ComposeResult:
        """A grid of as many charts as the plot has."""
        yield Static(id="plot-legend")
        with Grid(id="plot-charts"):
            for number in range(len(self._plot.charts) or 1):
                yield ChartPanel(id=f"plot-{number}")
        yield Static(notes(self._plot, self._written, time.time()), id="plot-notes", markup=False)

    def on_mount(self) -> None:
        """Another theme has other colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show_words())

    def on_resize(self) -> None:
        """As many charts next to each other as are readable."""
        count = len(self._plot.charts) or 1
        columns = max(1, min(count, self.size.width // _CHART_COLUMNS))
        grid = self.query_one("#plot-charts", Grid)
        grid.styles.grid_size_columns = columns
        if self._plot.charts:
            self._least = ceil(count / columns) * _CHART_LINES
        self._make_room()
        self._show_words()

    def _make_room(self) -> None:
        """What does not fit into the screen is scrolled, not cut."""
        around = sum(self.query_one(name).size.height or 1 for name in ("#plot-legend", "#plot-notes"))
        self.query_one("#plot-charts", Grid).styles.min_height = self._least
        self.styles.min_height = self._least + around

    def on_chart_panel_resized(self, message: ChartPanel.Resized) -> None:
        """Draw what does not have its size yet."""
        message.stop()
        for number, panel in enumerate(self.query(ChartPanel)):
            if panel.figure.size != panel.figure_size:
                self.run_in_thread(f"draw {number}", self._job(number, panel), partial(self.Drawn, number))

    def _job(self, number: int, panel: ChartPanel) -> "partial[ChartFigure]":
        size = panel.figure_size
        if self._plot.charts:
            return partial(_draw_chart, self._plot.charts[number], self._letters, size, self.app.no_color)
        return partial(draw_bars, bars_spec(self._plot, self._letters, size))

    def on_plot_view_drawn(self, message: Drawn) -> None:
        """Show it; bars take the rows that they need."""
        message.stop()
        if not self._plot.charts:
            self._least = max(len(message.figure.rows) + 1, _CHART_LINES)
        self._make_room()
        self._show_figure(
            self.query_one(f"#plot-{message.number}", ChartPanel), message.number, message.figure
        )

    def _show_figure(self, panel: ChartPanel, number: int, figure: ChartFigure) -> None:
        if not self._plot.charts:
            note = tr("report.too_narrow") if self._plot.bars else tr("report.none_evaluated")
            panel.show("", bars_title(), figure, note)
            return
        chart = self._plot.charts[number]
        title = chart_title(chart, self._letters, figure.size[0], dark=self.app.current_theme.dark)
        panel.show(chart.column, title, figure, nothing_drawn(chart, figure))

    def _show_words(self) -> None:
        """In the colours of the theme, in the room that there is."""
        text = legend(self._plot, self._letters, self.size.width - 1, dark=self.app.current_theme.dark)
        self.query_one("#plot-legend", Static).update(text)
        for number, panel in enumerate(self.query(ChartPanel)):
            if panel.figure.rows:
                self._show_figure(panel, number, panel.figure)


def _draw_chart(chart: PlotChart, letters: Letters, size: tuple[int, int], along: bool) -> ChartFigure:
    return draw(chart_spec(chart, letters, size, along=along))
