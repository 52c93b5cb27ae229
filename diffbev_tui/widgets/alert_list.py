"""The alerts of all runs in a list: when, whose, what; enter goes there."""

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from diffbev_tui.alert_log import RunAlert
from diffbev_tui.i18n import tr
from diffbev_tui.lines import ago
from diffbev_tui.messages import OfferFixes, SendTestNotification


class AlertList(ModalScreen[RunAlert]):
    """Dismissed with the alert to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,exclamation_mark,q", "dismiss", "app.key_close"),
        Binding("f", "fixes", "app.key_fixes"),
        Binding("t", "test", "app.key_notify"),
        Binding("j", "app.simulate_key('down')", show=False),
        Binding("k", "app.simulate_key('up')", show=False),
    ]

    def __init__(self, alerts: Sequence[RunAlert], *, read_only: bool = False) -> None:
        """Show ``alerts``, the newest first; read-only, nothing is sent from here."""
        super().__init__()
        self._alerts = tuple(alerts)
        self._read_only = read_only

    def compose(self) -> ComposeResult:
        """A title and the list."""
        with Vertical(id="alerts"):
            title = tr("app.alerts_read_only" if self._read_only else "app.alerts")
            yield Static(title, id="alerts-title", markup=False)
            if self._alerts:
                now = time.time()
                yield OptionList(
                    *(Option(_line(one, now), id=str(at)) for at, one in enumerate(self._alerts)),
                    id="alerts-list",
                )
            else:
                yield Static(tr("app.no_alerts"), id="alerts-empty", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go there."""
        self.dismiss(self._alerts[int(event.option.id or 0)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Read-only, nothing is sent."""
        return action != "test" or not self._read_only

    def action_fixes(self) -> None:
        """What can be done about the run of the chosen alert."""
        found = self.query(OptionList)
        chosen = found.first().highlighted if found else None
        if chosen is not None:
            self.app.post_message(OfferFixes(self._alerts[chosen].run))
            self.dismiss(None)

    def action_test(self) -> None:
        """Send a test notification."""
        self.app.post_message(SendTestNotification())


def _line(one: RunAlert, now: float) -> Text:
    line = Text(f"{ago(one.alert.time, now)}  ", "dim")
    line.append(f"{one.glyph} ", "green" if one.good else "bold red")
    return line.append(one.words)
