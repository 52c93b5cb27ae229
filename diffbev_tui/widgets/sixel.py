"""Pictures in sixels.

The widget of textual-image draws the rest of a picture's last line in the line below it, and terminals
exist (foot 1.13) for which to define a colour is not to choose it; its methods to correct are private.
What encodes a picture is public: its renderable for Rich.
"""

import re
from typing import TYPE_CHECKING

from rich.control import Control
from rich.segment import ControlType, Segment
from textual.dom import NoScreen
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual_image.renderable import SixelImage as Encoder

if TYPE_CHECKING:
    from PIL.Image import Image

_DEFINED_COLOUR = re.compile(r"(#\d+);2;\d+;\d+;\d+")
_START = "\x1bP"
_UNTOUCHED = ((ControlType.CURSOR_FORWARD, 0),)
"""Marks text that has no width: Rich and Textual pass it on as it is."""


class SixelImage(Widget, can_focus=False):
    """A picture that fills the widget."""

    def __init__(self, image: "Image", *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._image = image
        self._encoded: tuple[object, str] = (None, "")

    def render_lines(self, crop: Region) -> list[Strip]:
        """The visible part; it is sent with the last line, as those before would overwrite it."""
        try:
            behind = not self.screen.is_active  # a dialog in front would tint it
        except NoScreen:
            return []
        if behind or not crop.area:
            return []
        visible = self.screen.find_widget(self).visible_region
        last = [
            Segment(Control.move_to(visible.x, visible.y).segment.text),
            Segment(self._sixels(crop), control=_UNTOUCHED),
            # What stands to the right of the picture follows.
            Segment(Control.move_to(visible.right, visible.bottom - 1).segment.text),
        ]
        return [Strip([])] * (crop.height - 1) + [Strip(last, cell_length=crop.width)]

    def _sixels(self, crop: Region) -> str:
        key = (crop, self.size)
        if self._encoded[0] != key:
            self._encoded = key, self._encode(crop)
        return self._encoded[1]

    def _encode(self, crop: Region) -> str:
        across, down = self._image.width / self.size.width, self._image.height / self.size.height
        part = self._image.crop(
            (
                round(crop.x * across),
                round(crop.y * down),
                max(round(crop.right * across), round(crop.x * across) + 1),
                max(round(crop.bottom * down), round(crop.y * down) + 1),
            )
        )
        options = self.app.console.options.update(width=crop.width, height=crop.height)
        segments = self.app.console.render(Encoder(part, crop.width, crop.height), options)
        sixels = next((one.text for one in segments if one.text.startswith(_START)), "")
        return _DEFINED_COLOUR.sub(r"\g<0>\g<1>", sixels)
