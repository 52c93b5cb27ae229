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


class AlertList(ModalScreen[RunAlert]):
    """Dismissed with the alert to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,exclamation_mark,q", "dismiss", "app.key_close"),
        Binding("j", "app.simulate_key('down')", show=False),
        Binding("k", "app.simulate_key('up')", show=False),
    ]

    def __init__(self, alerts: Sequence[RunAlert]) -> None:
        """Show ``alerts``, the newest first."""
        super().__init__()
        self._alerts = tuple(alerts)

    def compose(self) -> ComposeResult:
        """A title and the list."""
        with Vertical(id="alerts"):
            yield Static(tr("app.alerts"), id="alerts-title", markup=False)
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


def _line(one: RunAlert, now: float) -> Text:
    line = Text(f"{ago(one.alert.time, now)}  ", "dim")
    line.append(f"{one.glyph} ", "green" if one.good else "bold red")
    return line.append(one.words)
