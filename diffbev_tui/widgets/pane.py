"""A screen of the app: one of the numbered panes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message

from diffbev_tui.core.background import Background
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.widgets.plain import PlainContainer

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp

_Seen = TypeVar("_Seen")
_FRAME_LINES = 3
"""Status, tabs, keys."""


class Seen(Message):
    """A check of the files has an answer."""

    def __init__(self, show: Callable[[], None]) -> None:
        super().__init__()
        self.show = show


class Pane(PlainContainer, can_focus=True):
    """What a pane does; each shows one side of the snapshot that the app takes."""

    BINDINGS: ClassVar[list[BindingType]] = []

    @property
    def ui(self) -> "DiffBEVApp":
        """The app, as what it is."""
        return cast("DiffBEVApp", self.app)

    @property
    def ready(self) -> bool:
        """Whether its widgets are there: not while they are made again, nor while the app closes."""
        return self.is_mounted and self.is_attached and self.app.is_running and not self._remaking

    _remaking = False

    @property
    def room(self) -> Size:
        """Its size; while it is hidden or new, the one it is about to get, so that it is drawn once only."""
        width, height = self.app.size
        return self.size or Size(width, height - _FRAME_LINES)

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new; called about once a second while the pane is visible."""

    def beside(self, look: Callable[[], _Seen], show: Callable[[_Seen], None]) -> None:
        """Check files in a thread, then show what was seen; a check that hangs is not repeated."""

        def job() -> None:
            self.post_message(Seen(partial(show, look())))

        if self._background is None or not self._background.busy_s:
            self._background = Background(job)
            self._background.start()

    def once(self, job: Callable[[], _Seen], show: Callable[[_Seen], None]) -> None:
        """Do a job in a thread of its own, then show what came of it; unlike a check it is never skipped."""

        def work() -> None:
            self.post_message(Seen(partial(show, job())))

        Background(work).start()

    _background: Background | None = None

    def on_seen(self, message: Seen) -> None:
        """Show the answer."""
        message.stop()
        if self.ready:
            message.show()

    def focus_inside(self) -> None:
        """Give the keys to what they are for first, as this pane comes into view."""
        inside = [widget for widget in self.screen.focus_chain if self in widget.ancestors]
        (inside[0] if inside else self).focus()

    def copy_text(self) -> str | None:
        """What ``y`` copies: the thing in focus."""
        return None

    def smooth(self, smoothing: float) -> None:
        """Smooth curves that much from now on."""

    def retranslate(self) -> None:
        """Speak the language that was just chosen."""
        self.run_worker(self._again(), exclusive=True, group="retranslate")

    async def _again(self) -> None:
        self._remaking = True
        try:
            await self.recompose()
        finally:
            self._remaking = False
        self.update_snapshot(self.ui.snapshot)
