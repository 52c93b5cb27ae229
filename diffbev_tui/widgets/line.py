"""A line of text that costs nothing while it stays the same."""

from rich.text import Text
from textual.widgets import Static


class Line(Static):
    """Repainted only when there is something else to say."""

    def put(self, line: Text) -> None:
        """Show ``line``."""
        if self.content != line:
            # All widgets are laid out again only where this one may take another place.
            self.update(line, layout=self.styles.auto_dimensions)
