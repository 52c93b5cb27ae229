"""A chart in the grid: a title in the words of the UI above a figure that holds digits only."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.color import Color
from textual.events import Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from diffbev_tui.charts.chart import AXIS, BAD, CURSOR, RESUME, ChartFigure, band_role
from diffbev_tui.run_book import LETTERS

_ON_DARK = (
    *("#56B4E9", "#E69F00", "#2BB58F", "#CC79A7", "#F0E442", "#E8703A"),
    *("#A6A6FF", "#7FD6E0", "#C0D860", "#FF9EC4", "#D0B08A", "#8FBF9F"),
)
_ON_LIGHT = (
    *("#0072B2", "#B36B00", "#00755A", "#A04A7A", "#7A6C00", "#B84A00"),
    *("#4B4BC0", "#1A7F8C", "#5B7A00", "#B03060", "#7A5A30", "#3F7050"),
)
"""Okabe and Ito's colours, then six between them; darker ones where the background is light."""
_NAMED = (AXIS, RESUME, CURSOR, BAD)
"""Roles whose colours the theme decides."""
_BAND = 0.38
"""How much of a run's colour its raw band has."""


def run_colours(dark: bool) -> dict[str, str]:
    """The colour of each letter."""
    colours = _ON_DARK if dark else _ON_LIGHT
    return {letter: colours[place % len(colours)] for place, letter in enumerate(LETTERS)}


class ChartPanel(Widget, can_focus=True):
    """Shows a finished figure; hovering and repainting cost no drawing."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{name}" for name in (*_NAMED, "focus")}
    DEFAULT_CSS = """
    ChartPanel {
        & > .chart--axis, & > .chart--resume { color: $foreground 55%; }
        & > .chart--cursor { color: $foreground; text-style: bold; }
        & > .chart--bad { color: $error; text-style: bold reverse; }
        & > .chart--focus { color: $accent; }
    }
    """

    class Resized(Message):
        """There is another number of cells for a figure."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.column = ""
        """The metric that it shows."""
        self._figure = ChartFigure((), (0, 0))
        self._title = Text()
        self._note = ""
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}
        self._base = Style()
        self._styled_for: object = None
        self._sized = Size()

    @property
    def figure_size(self) -> tuple[int, int]:
        """Columns and rows for the figure, below the title; while it is hidden, as they were."""
        return self._sized.width, max(self._sized.height - 1, 0)

    @property
    def figure(self) -> ChartFigure:
        """What is shown now."""
        return self._figure

    @property
    def title(self) -> Text:
        """The line above it."""
        return self._title

    def show(self, column: str, title: Text, figure: ChartFigure, note: str = "") -> None:
        """Show a figure, or ``note`` where there is none."""
        same = (self.column, self._note) == (column, note) and self._figure is figure
        if same and self._title.markup == title.markup:
            return
        self.column, self._title, self._figure, self._note = column, title, figure, note
        self._strips.clear()
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Ask for a figure of a new size; the old one is shown cut until then."""
        if event.size != self._sized:  # else it was hidden for a while
            self._sized = event.size
            self._strips.clear()
            self.post_message(self.Resized())

    def watch_has_focus(self, _: bool) -> None:
        """The title tells the focus."""
        self._strips.pop(0, None)
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows within ``crop``; which colours hold is found out once for all of them."""
        base = self.rich_style
        look = (self.app.theme, str(base))
        if look != self._styled_for:
            self._styled_for, self._base = look, base
            self._styles = self._styles_on(base)
            self._strips.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One row, from what was drawn before."""
        base = self._base
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = self._row(y, base).adjust_cell_length(self.size.width, base)
        return strip

    def _row(self, y: int, base: Style) -> Strip:
        if y == 0:
            mark = "▌" if self.has_focus else " "
            accent = self.get_component_rich_style("chart--focus", partial=True)
            text = Text.assemble((mark, accent), self._title)
            segments = [
                Segment(part.text, base + (part.style or Style())) for part in text.render(self.app.console)
            ]
            return Strip(part for part in segments if part.text).crop(0, self.size.width)
        if not self._figure.rows:
            middle = y == max(self.size.height // 2, 1)
            return Strip([Segment(f"   {self._note}" if middle else "", base + Style(dim=True))])
        if y > len(self._figure.rows):
            return Strip([])
        row = self._figure.rows[y - 1]
        return Strip(Segment(span.text, self._styles.get(span.role, base)) for span in row)

    def _styles_on(self, base: Style) -> dict[str, Style]:
        background = self.background_colors[1]
        styles = {
            role: base + self.get_component_rich_style(f"chart--{role}", partial=True) for role in _NAMED
        }
        for letter, name in run_colours(self.app.current_theme.dark).items():
            colour = Color.parse(name)
            styles[letter] = base + Style(color=colour.rich_color)
            styles[band_role(letter)] = base + Style(color=background.blend(colour, _BAND).rich_color)
        return styles
