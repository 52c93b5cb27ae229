"""The charts of a page, as many as there is room for."""

from textual.app import ComposeResult

from diffbev_tui.charts.panel import ChartPanel
from diffbev_tui.monitor.chart_pages import ChartPages
from diffbev_tui.monitor.chart_worker import ChartResult
from diffbev_tui.monitor.text import chart_note, chart_title
from diffbev_tui.widgets.plain import PlainContainer

_PANELS = 9


class ChartGrid(PlainContainer):
    """Panels for the metrics in view; those without one are hidden."""

    def __init__(self, pages: ChartPages, *, id: str) -> None:
        super().__init__(id=id)
        self._pages = pages

    def compose(self) -> ComposeResult:
        """As many panels as there can be."""
        for number in range(_PANELS):
            yield ChartPanel(id=f"monitor-chart-{number}")

    @property
    def panels(self) -> list[ChartPanel]:
        """All of them, in order."""
        return list(self.query(ChartPanel))

    @property
    def focused(self) -> ChartPanel | None:
        """The one in focus."""
        return next((panel for panel in self.panels if panel.has_focus), None)

    @property
    def charts(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Metrics in view and the sizes of their figures."""
        in_view = zip(self._pages.on_page, self.panels, strict=False)
        return tuple((column, panel.figure_size) for column, panel in in_view)

    def lay_out(self, width: int, height: int) -> None:
        """Use so many cells; ``height`` counts while the grid has none."""
        self._pages.fit(width, self.size.height or height)
        if (self.styles.grid_size_columns, self.styles.grid_size_rows) != self._pages.grid:
            self.styles.grid_size_columns, self.styles.grid_size_rows = self._pages.grid
        shown = len(self._pages.on_page)
        for number, panel in enumerate(self.panels):
            panel.display = number < shown

    def show(self, result: ChartResult, *, dark: bool) -> None:
        """Show the figures of the metrics in view."""
        charts = {chart.column: chart for chart in result.charts}
        for column, panel in zip(self._pages.on_page, self.panels, strict=False):
            chart = charts.get(column)
            if chart is not None:
                title = chart_title(chart, result.request.cursor, dark=dark)
                panel.show(column, title, chart.figure, chart_note(chart, result.columns))

    def maximise(self) -> None:
        """The chart in focus alone, else the first; or all of them again."""
        if self._pages.maximised:
            self._pages.maximised = None
            return
        first = self.panels[0]
        self._pages.maximised = (self.focused or first).column or self._pages.metrics[0]
        first.focus()
