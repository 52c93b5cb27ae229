"""Which charts are on the page in view. Imports nothing heavy."""

from collections.abc import Collection

FIRST_METRICS = ("loss", "mIoU", "Ldepth", "Ldiff", "Lwce", "lr")
_TWO_COLUMNS = 100
_CHART_LINES = 9
"""Lines that a chart needs so that two stand below each other."""


class ChartPages:
    """The metrics to be shown, a grid of them at a time."""

    def __init__(self) -> None:
        self.grid = (1, 1)
        """Columns and rows of charts."""
        self.maximised: str | None = None
        """The only metric in view."""
        self._chosen: tuple[str, ...] = ()
        self._known: Collection[str] = ()
        self._page = 0

    def know(self, columns: Collection[str]) -> bool:
        """These columns have values in some run; whether that changes what is shown."""
        before = self.metrics
        self._known = columns
        return self.metrics != before

    def choose(self, metrics: tuple[str, ...]) -> None:
        """Show just these; none: what there is."""
        self._chosen, self.maximised = metrics, None

    @property
    def metrics(self) -> tuple[str, ...]:
        """All pages: what was chosen, else the usual ones that have values."""
        return self._chosen or tuple(name for name in FIRST_METRICS if name in self._known) or FIRST_METRICS

    def fit(self, width: int, height: int) -> None:
        """Use so many cells: two columns where they are wide enough, two rows where they are high enough."""
        columns = 2 if width >= _TWO_COLUMNS else 1
        rows = 2 if height >= 2 * _CHART_LINES else 1
        self.grid = (1, 1) if self.maximised else (columns, rows)

    @property
    def on_page(self) -> tuple[str, ...]:
        """The metrics in view."""
        if self.maximised:
            return (self.maximised,)
        size = self.grid[0] * self.grid[1]
        return self.metrics[self.page * size : (self.page + 1) * size]

    @property
    def page(self) -> int:
        """Counted from 0."""
        return min(self._page, self.count - 1)

    @property
    def count(self) -> int:
        """How many pages there are."""
        return 1 if self.maximised else -(-len(self.metrics) // (self.grid[0] * self.grid[1]))

    def turn(self, pages: int) -> None:
        """Forwards or backwards, and round."""
        self._page = (self.page + pages) % self.count
