"""What a user may choose, in one dialog: each choice holds at once and is remembered."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from diffbev_tui.format import left
from diffbev_tui.i18n import language, tr
from diffbev_tui.messages import Prefer
from diffbev_tui.places import settings_file
from diffbev_tui.preferences import AUTO, PACES, SMOOTHINGS, Preferences
from diffbev_tui.terminal_graphics import GRAPHICS
from diffbev_tui.themes import theme_names

_LABEL = 18


@dataclass(frozen=True)
class _Setting:
    """One line: a field of ``Preferences`` and what it may be."""

    name: str
    values: tuple[str | float, ...]
    now: str | float

    @property
    def words(self) -> str:
        """The value as people say it."""
        if self.name in ("language", "graphics"):
            return tr(f"app.value_{self.name}_{self.now or 'auto'}")
        if self.name == "pace":
            return tr("app.value_pace", seconds=f"{self.now:g}")
        if self.name == "theme":
            return str(self.now)
        if self.now == AUTO:
            return tr("app.value_smoothing_auto")
        return tr("app.value_smoothing_none") if self.now == 0.0 else str(self.now)

    def next(self, by: int) -> str | float:
        """The value before or after it, around the ends."""
        return self.values[(self.values.index(self.now) + by) % len(self.values)]


class Settings(ModalScreen[None]):
    """Lines with a value each; left and right change it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,comma,q", "dismiss", "app.key_close"),
        Binding("up,k,shift+tab", "move(-1)", show=False),
        Binding("down,j,tab", "move(1)", show=False),
        Binding("left,h", "change(-1)", "app.key_previous_value"),
        Binding("right,l,space", "change(1)", "app.key_next_value"),
    ]

    def __init__(self, preferences: Preferences) -> None:
        """Begin with ``preferences``; each change is posted as :class:`Prefer`."""
        super().__init__()
        self._preferences = preferences
        self._at = 0

    def compose(self) -> ComposeResult:
        """Title, lines, keys."""
        with Vertical(id="settings"):
            yield Static(id="settings-title", markup=False)
            yield Static(id="settings-lines", markup=False)
            yield Static(id="settings-keys", markup=False)

    def on_mount(self) -> None:
        """Show what holds now."""
        self._show()

    def show(self, preferences: Preferences) -> None:
        """Show what holds now."""
        self._preferences = preferences
        self._show()

    def _settings(self) -> list[_Setting]:
        now = self._preferences
        themes = theme_names(self.app.available_themes)
        return [
            _Setting("language", ("en", "zh"), language()),
            _Setting("theme", tuple(themes), self.app.theme),
            _Setting("pace", PACES, now.pace),
            _Setting("smoothing", SMOOTHINGS, now.smoothing),
            _Setting("graphics", ("", *GRAPHICS), now.graphics),
        ]

    def _show(self) -> None:
        lines = Text()
        for number, one in enumerate(self._settings()):
            here = number == self._at
            lines.append("> " if here else "  ", "bold")
            lines.append(left(tr(f"app.setting_{one.name}"), _LABEL))
            lines.append(f"< {one.words} >\n", "bold reverse" if here else "")
        lines.right_crop()
        self.query_one("#settings-title", Static).update(tr("app.settings"))
        self.query_one("#settings-lines", Static).update(lines)
        kept = tr("app.settings_kept", path=settings_file())
        self.query_one("#settings-keys", Static).update(f"{tr('app.settings_keys')}\n{kept}")

    def action_move(self, by: int) -> None:
        """Another line."""
        self._at = (self._at + by) % len(self._settings())
        self._show()

    def action_change(self, by: int) -> None:
        """Another value, at once."""
        one = self._settings()[self._at]
        self.post_message(Prefer({one.name: one.next(by)}))

    def on_click(self, event: events.Click) -> None:
        """A click on a line changes it; next to the dialog closes it."""
        lines = self.query_one("#settings-lines", Static)
        if lines.region.contains(event.screen_x, event.screen_y):
            self._at = min(event.screen_y - lines.region.y, len(self._settings()) - 1)
            self.action_change(1)
        elif not self.query_one("#settings").region.contains(event.screen_x, event.screen_y):
            self.dismiss(None)
