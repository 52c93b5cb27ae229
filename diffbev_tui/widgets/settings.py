"""What a user may choose, in one dialog: each choice holds at once and is remembered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from diffbev_tui.core.graphics import GRAPHICS
from diffbev_tui.core.places import settings_file
from diffbev_tui.core.preferences import PACES, SMOOTHINGS
from diffbev_tui.core.show import left
from diffbev_tui.i18n import language, tr
from diffbev_tui.themes import theme_names

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp

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
        return tr("app.value_smoothing_none") if self.now == 0.0 else str(self.now)

    def beside(self, by: int) -> str | float:
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

    def __init__(self, prefer: Callable[..., None]) -> None:
        """``prefer`` makes a choice hold and remembers it."""
        super().__init__()
        self._prefer = prefer
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

    def _settings(self) -> list[_Setting]:
        app = cast("DiffBEVApp", self.app)
        themes = theme_names(app.available_themes)
        return [
            _Setting("language", ("en", "zh"), language()),
            _Setting("theme", tuple(themes), app.theme),
            _Setting("pace", PACES, app.preferences.pace),
            _Setting("smoothing", SMOOTHINGS, app.preferences.smoothing),
            _Setting("graphics", ("", *GRAPHICS), app.preferences.graphics),
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
        self._prefer(**{one.name: one.beside(by)})
        self._show()

    def on_click(self, event: events.Click) -> None:
        """A click on a line changes it; next to the dialog closes it."""
        lines = self.query_one("#settings-lines", Static)
        if lines.region.contains(event.screen_x, event.screen_y):
            self._at = min(event.screen_y - lines.region.y, len(self._settings()) - 1)
            self.action_change(1)
        elif not self.query_one("#settings").region.contains(event.screen_x, event.screen_y):
            self.dismiss(None)
