"""Which charts are on the page in view. Imports nothing heavy."""

from collections.abc import Collection

FIRST_METRICS = ("loss", "mIoU", "Ldepth", "Ldiff", "Lwce", "lr", "grad_norm", "images_per_s", "gpu_mem_mb")
_COMPARABLE_FIRST = ("Lwce", "mIoU", "loss", *FIRST_METRICS[2:4], *FIRST_METRICS[5:])
"""Where runs add different terms to their loss, only the common term can be compared."""
_CHART_COLUMNS, _CHART_LINES = 48, 8
"""Cells that a chart needs to be readable, its title among them."""
_MOST = 3
"""Charts next to each other, and below each other."""


class ChartPages:
    """The metrics to be shown, a grid of them at a time."""

    def __init__(self) -> None:
        self.grid = (1, 1)
        """Columns and rows of charts."""
        self.maximised: str | None = None
        """The only metric in view."""
        self._chosen: tuple[str, ...] = ()
        self._known: Collection[str] = ()
        self._methods_differ = False
        self._page = 0

    def know(self, columns: Collection[str], *, methods_differ: bool = False) -> bool:
        """These columns have values in some run; whether that changes what is shown."""
        before = self.metrics
        self._known, self._methods_differ = columns, methods_differ
        return self.metrics != before

    def choose(self, metrics: tuple[str, ...]) -> None:
        """Show just these; none: what there is. Those that were added come next to the first, in view."""
        kept = [name for name in metrics if name in self.metrics]
        added = [name for name in metrics if name not in self.metrics]
        self._chosen, self.maximised = (*kept[:1], *added, *kept[1:]), None
        self._page = 0 if added else self._page

    @property
    def metrics(self) -> tuple[str, ...]:
        """All pages: what was chosen, else the usual ones that have values."""
        usual = _COMPARABLE_FIRST if self._methods_differ else FIRST_METRICS
        return self._chosen or tuple(name for name in usual if name in self._known) or FIRST_METRICS[:6]

    def fit(self, width: int, height: int) -> None:
        """Use so many cells: as many charts as are readable, and no more than there are metrics."""
        columns = max(1, min(_MOST, width // _CHART_COLUMNS))
        rows = max(1, min(_MOST, height // _CHART_LINES))
        count = len(self.metrics)
        columns = min(columns, count)
        rows = min(rows, -(-count // columns))
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
