"""A line of text that is not redrawn while unchanged."""

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Static


class Line(Static):
    """Repainted only when there is something else to say; may also be a few lines."""

    _rows = 0

    def put(self, line: Text) -> None:
        """Show ``line``."""
        if self.content == line:
            return
        rows = line.plain.split("\n")
        wraps = any(cell_len(row) > self.size.width for row in rows)
        # All widgets are laid out again only where this one may take another place.
        grows = self.styles.auto_dimensions and (wraps or len(rows) != self._rows)
        self._rows = len(rows)
        self.update(line, layout=grows)
