"""Containers that only arrange: every line of theirs between the borders is the same empty one."""

from typing import TYPE_CHECKING

from textual import containers, screen
from textual.geometry import Region
from textual.strip import Strip

if TYPE_CHECKING:
    from textual.widget import Widget
else:
    Widget = object  # styles are found by the first base that is a widget: that is to be the container


class Plain(Widget):
    """Works one of those lines out for all: nested containers took half the time of painting a screen."""

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines within ``crop``; borders and padding as they are."""
        first, last = self.gutter.top, self.outer_size.height - self.gutter.bottom - 1
        done: dict[int, Strip] = {}
        lines = []
        for y in range(crop.y, crop.bottom):
            like = min(y, first) if y <= last else y
            if like not in done:
                done[like] = super().render_lines(Region(crop.x, like, crop.width, 1))[0]
            lines.append(done[like])
        return lines


class PlainContainer(Plain, containers.Container):
    """A ``Container``."""


class PlainHorizontal(Plain, containers.Horizontal):
    """A ``Horizontal``."""


class PlainVertical(Plain, containers.Vertical):
    """A ``Vertical``."""


class PlainVerticalScroll(Plain, containers.VerticalScroll):
    """A ``VerticalScroll``."""


class PlainScreen(Plain, screen.Screen[None]):
    """The screen below all dialogs."""
