"""Sixel pictures, and what is next to and below them, as they are meant to be."""

import re
from collections.abc import Iterable

from rich.control import Control
from rich.segment import Segment
from textual.app import ComposeResult
from textual_image.widget.sixel import Image, _ImageSixelImpl

_DEFINED_COLOUR = re.compile(r"(#\d+);2;\d+;\d+;\d+")


class _Drawing(_ImageSixelImpl):
    """Corrects two things that the library sends."""

    def _get_sixel_segments(self, sixel_data: str) -> Iterable[Segment]:
        # For some terminals (foot 1.13), to define a colour is not to choose it.
        sixels = _DEFINED_COLOUR.sub(r"\g<0>\g<1>", sixel_data)
        *drawing, _ = super()._get_sixel_segments(sixels)
        # The rest of the picture's last line follows, which the library would draw in the next one.
        region = self.screen.find_widget(self).visible_region
        return [*drawing, Segment(Control.move_to(region.right, region.bottom - 1).segment.text)]


class SixelImage(Image, Renderable=Image._Renderable):
    """A picture in sixels."""

    def compose(self) -> ComposeResult:
        """The part that draws."""
        yield _Drawing(self.image, self._sixel_options)
