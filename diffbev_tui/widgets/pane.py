"""A screen of the app: one of the numbered panes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from diffbev_tui.core.background import Background
from diffbev_tui.core.snapshot import Snapshot

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp

_Seen = TypeVar("_Seen")


class Seen(Message):
    """A look at files has an answer."""

    def __init__(self, show: Callable[[], None]) -> None:
        super().__init__()
        self.show = show


class Pane(Container, can_focus=True):
    """What a pane does; each shows one side of the snapshot that the app takes."""

    BINDINGS: ClassVar[list[BindingType]] = []

    @property
    def ui(self) -> "DiffBEVApp":
        """The app, as what it is."""
        return cast("DiffBEVApp", self.app)

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new; called about once a second while the pane is visible."""

    def beside(self, look: Callable[[], _Seen], show: Callable[[_Seen], None]) -> None:
        """Look at files in a thread, then show what was seen; a look that hangs is not repeated."""

        def job() -> None:
            self.post_message(Seen(partial(show, look())))

        if self._background is None or not self._background.busy_s:
            self._background = Background(job)
            self._background.start()

    _background: Background | None = None

    def on_seen(self, message: Seen) -> None:
        """Show the answer."""
        message.stop()
        if self.is_mounted:
            message.show()

    def focus_inside(self) -> None:
        """Give the keys to what they are for first, as this pane comes into view."""
        inside = [widget for widget in self.screen.focus_chain if self in widget.ancestors]
        (inside[0] if inside else self).focus()

    def copy_text(self) -> str | None:
        """What ``y`` copies: the thing in focus."""
        return None

    def retranslate(self) -> None:
        """Speak the language that was just chosen."""
        self.run_worker(self._again(), exclusive=True, group="retranslate")

    async def _again(self) -> None:
        await self.recompose()
        self.update_snapshot(self.ui.snapshot)
