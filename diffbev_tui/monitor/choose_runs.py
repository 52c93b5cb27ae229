"""Choosing some of many by typing: metrics, runs."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from diffbev_tui.i18n import tr


class Pick(ModalScreen[tuple[str, ...]]):
    """A list that narrows while one types; answers with what was chosen, in the order of choosing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,tab", "done", "monitor.key_done", priority=True),
        Binding("up", "move(-1)", "monitor.key_up", priority=True),
        Binding("down", "move(1)", "monitor.key_down", priority=True),
        Binding("enter", "choose", "monitor.key_toggle", priority=True),
    ]

    def __init__(
        self, title: str, options: Sequence[tuple[str, str]], chosen: Sequence[str], most: int | None = None
    ) -> None:
        """Ask.

        Args:
            title: the question.
            options: (answer, words) in order.
            chosen: the answers that are chosen already.
            most: how many may be.
        """
        super().__init__()
        self._title, self._options, self._most = title, options, most
        self.chosen = list(chosen)

    def compose(self) -> ComposeResult:
        """Search above the list."""
        with Vertical(id="monitor-pick"):
            yield Static(self._title, id="monitor-pick-title", markup=False)
            yield Input(id="monitor-pick-search", compact=True)
            yield OptionList(id="monitor-pick-list", compact=True)
            yield Static(tr("monitor.pick_keys"), id="monitor-pick-keys", markup=False)

    def on_mount(self) -> None:
        """Show all, type at once."""
        self.query_one(OptionList).can_focus = False
        self._show("")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list."""
        self._show(event.value)

    def _show(self, searched: str) -> None:
        words = searched.lower().split()
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        for answer, label in self._options:
            if all(word in label.lower() for word in words):
                mark = "✓" if answer in self.chosen else " "
                listed.add_option(Option(f"{mark} {label}".replace("[", r"\["), id=answer))
        if listed.option_count:
            listed.highlighted = min(at, listed.option_count - 1)
        else:
            listed.add_option(Option(tr("monitor.pick_none"), disabled=True))

    def action_move(self, rows: int) -> None:
        """Up or down the list."""
        listed = self.query_one(OptionList)
        if listed.option_count and listed.highlighted is not None:
            listed.highlighted = (listed.highlighted + rows) % listed.option_count

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """A click."""
        self.action_choose()

    def action_choose(self) -> None:
        """Choose what is highlighted, or take it out."""
        listed = self.query_one(OptionList)
        option = listed.highlighted_option
        if option is None or option.id is None:
            return
        if option.id in self.chosen:
            self.chosen.remove(option.id)
        elif self._most is not None and len(self.chosen) >= self._most:
            self.notify(tr("monitor.pick_full", most=self._most), severity="warning")
            return
        else:
            self.chosen.append(option.id)
        self._show(self.query_one(Input).value)

    def action_done(self) -> None:
        """Answer."""
        self.dismiss(tuple(self.chosen))
