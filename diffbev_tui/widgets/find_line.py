"""A line below a pane's own widget to type into for a moment, such as what to find."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class FindLine(Input):
    """Hidden until it is opened; Enter and Escape close it.

    However fast one types, no key is lost: those that are bound here are heeded in the order of the keys,
    and what was typed ahead behind Enter and Escape goes to the widget that has the focus then.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "app.key_cancel")]

    class Left(Message):
        """Typing has ended."""

        def __init__(self, text: str, *, take: bool) -> None:
            super().__init__()
            self.text = text
            self.take = take
            """Whether what was typed is to be used: it was Enter."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, compact=True)
        self.display = False
        self._then: Widget | None = None

    @property
    def typing(self) -> bool:
        """Whether keys are letters here."""
        return self.is_attached and self.screen.focused is self

    def open(self, hint: str, text: str = "", *, then: Widget) -> None:
        """Type; keys go here from now on, also those typed ahead, and to ``then`` once this is closed."""
        self._then = then
        self.placeholder, self.value, self.display = hint, text, True
        self.screen.set_focus(self)  # at once: ``focus`` would wait, and let others have some keys

    def action_leave(self) -> None:
        """Away, without a result."""
        self._close(take=False)

    async def action_submit(self) -> None:
        """Away, with what was typed."""
        self._close(take=True)

    async def _on_key(self, event: events.Key) -> None:
        if not self.typing:  # typed ahead: after those who hear that this is closed
            self.call_later(self.app.post_message, events.Key(event.key, event.character))
        elif (bound := self.screen.active_bindings.get(event.key)) and bound.node is self:
            # Now, not after the event has gone up to the app, when later keys may have come.
            await self.run_action(bound.binding.action)
        else:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()

    def _close(self, *, take: bool) -> None:
        self.display = False
        if self.typing:
            self.screen.set_focus(self._then)
        self.post_message(self.Left(self.value, take=take))


def is_typing(pane: Widget) -> bool:
    """Whether keys are letters in a line of ``pane``: those that open it do not open it again then."""
    return any(line.typing for line in pane.query(FindLine))
