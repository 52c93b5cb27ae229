"""Which steps the charts show, and how keys change that. Imports nothing heavy."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

_SMALLEST = 8.0
_TAIL_SHARE = 0.2
"""Of all steps, when the tail is shown first."""
_PAN_SHARE = 0.25


class Follow(str, Enum):
    """Whether the window moves with the run."""

    ALL = "all"
    TAIL = "tail"
    """The newest steps."""
    FROZEN = "frozen"


class Span(NamedTuple):
    """The steps that there are."""

    first: float
    last: float
    newest: float
    """The last step of the run that a tail follows; other runs may have gone further."""


@dataclass(frozen=True)
class ViewWindow:
    """The steps in view, given what steps there are."""

    follow: Follow = Follow.ALL
    width: float = 0.0
    """Of the tail; 0: a fifth of all."""
    left: float = 0.0
    right: float = 0.0
    """Of a frozen window."""

    def of(self, span: Span) -> tuple[float, float]:
        """The window on a run, or runs, of ``span``."""
        first, last, newest = span
        if self.follow is Follow.FROZEN:
            return self.left, self.right
        if self.follow is Follow.TAIL:
            return max(first, newest - (self.width or (newest - first) * _TAIL_SHARE)), newest
        return min(first, 0.0) if first < 0.1 * last else first, last

    def zoomed(self, span: Span, factor: float, centre: float | None = None) -> "ViewWindow":
        """Closer for a ``factor`` below one; around the cursor, else the newest step in view stays."""
        left, right = self.of(span)
        smallest = min(_SMALLEST, max(span.last - span.first, 1.0))
        width = max((right - left) * factor, smallest)
        if factor > 1 and width >= span.last - min(span.first, 0.0):
            return ViewWindow()
        if self.follow is Follow.TAIL and centre is None:
            return replace(self, width=width)
        anchor = centre if centre is not None and left <= centre <= right else right
        share = (anchor - left) / (right - left) if right > left else 1.0
        return _frozen(anchor - share * width, width, span)

    def panned(self, span: Span, direction: int) -> "ViewWindow":
        """A quarter of the window to the left (-1) or right (1)."""
        left, right = self.of(span)
        return _frozen(left + direction * _PAN_SHARE * (right - left), right - left, span)

    def showing(self, span: Span, step: float) -> "ViewWindow":
        """The same, moved just so far that ``step`` is in view."""
        left, right = self.of(span)
        if left <= step <= right:
            return self
        return _frozen(step if step < left else step - (right - left), right - left, span)

    def next_follow(self, span: Span) -> "ViewWindow":
        """all, tail, frozen, in turns."""
        if self.follow is Follow.ALL:
            return ViewWindow(Follow.TAIL)
        if self.follow is Follow.TAIL:
            left, right = self.of(span)
            return ViewWindow(Follow.FROZEN, left=left, right=right)
        return ViewWindow()


def _frozen(left: float, width: float, span: Span) -> ViewWindow:
    left = max(min(left, span.last - width), min(span.first, 0.0))
    return ViewWindow(Follow.FROZEN, left=left, right=left + width)
