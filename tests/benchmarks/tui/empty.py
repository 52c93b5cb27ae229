"""The least that a Textual app can be, to which the start of the UI is compared."""

from textual.app import App, ComposeResult
from textual.widgets import Static

WORDS = "nothing else"


class EmptyApp(App[None]):
    """One line of text."""

    def compose(self) -> ComposeResult:
        """It."""
        yield Static(WORDS)


if __name__ == "__main__":
    EmptyApp().run()
