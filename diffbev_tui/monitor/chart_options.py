"""How the charts are shown, and what each key changes about that. Imports nothing heavy."""

from dataclasses import dataclass, field, replace

from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.view_window import Span, ViewWindow
from diffbev_tui.preferences import AUTO, SMOOTHINGS

_SMOOTH_OVERLAYS = 0.9
_BESIDE_CANVAS = 6
"""Columns of a figure that its axis takes, about."""


@dataclass(frozen=True)
class ChartOptions:
    """All charts are shown in the same way; every change is another value."""

    smoothing: float = AUTO
    """As it was chosen."""
    log_y: bool = False
    axis: Axis = Axis.STEP
    clip: bool = True
    window: ViewWindow = field(default_factory=ViewWindow)
    cursor: float | None = None
    """On the x axis."""

    def smoothing_of(self, runs: int) -> float:
        """The smoothing of so many runs; by itself where noisy curves would lie over each other."""
        if self.smoothing != AUTO:
            return self.smoothing
        return _SMOOTH_OVERLAYS if runs > 1 else 0.0

    def next_smoothing(self, runs: int) -> "ChartOptions":
        """The next one that looks different."""
        place = SMOOTHINGS.index(self.smoothing)
        following = (
            replace(self, smoothing=SMOOTHINGS[(place + by) % len(SMOOTHINGS)])
            for by in range(1, len(SMOOTHINGS))
        )
        return next(other for other in following if other.smoothing_of(runs) != self.smoothing_of(runs))

    def next_axis(self) -> "ChartOptions":
        """Iterations, time since the start, wall time, in turns; places on one mean nothing on another."""
        axes = list(Axis)
        axis = axes[(axes.index(self.axis) + 1) % len(axes)]
        return replace(self, axis=axis, window=ViewWindow(self.window.follow), cursor=None)

    def zoomed(self, span: Span, factor: float) -> "ChartOptions":
        """Closer or further away, around the cursor if there is one."""
        return replace(self, window=self.window.zoomed(span, factor, self.cursor))

    def next_follow(self, span: Span) -> "ChartOptions":
        """All, tail, frozen, in turns."""
        return replace(self, window=self.window.next_follow(span))

    def sideways(self, span: Span, direction: int, columns: int) -> "ChartOptions":
        """The cursor moved by one of so many columns of a figure, else the window."""
        if self.cursor is None:
            return replace(self, window=self.window.panned(span, direction))
        left, right = self.window.of(span)
        cursor = self.cursor + direction * max((right - left) / max(columns - _BESIDE_CANVAS, 1), 1.0)
        cursor = min(max(round(cursor), span.first), span.last)
        return replace(self, cursor=cursor, window=self.window.showing(span, cursor))

    def with_cursor(self, span: Span) -> "ChartOptions":
        """The cursor at the newest step in view."""
        return replace(self, cursor=float(round(self.window.of(span)[1])))
