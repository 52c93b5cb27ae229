"""A screen of the app: one of the numbered panes."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message

from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.i18n import tr
from diffbev_tui.messages import Copy, Say, Severity
from diffbev_tui.preferences import Preferences
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.threads import JobFailed, RunInThread
from diffbev_tui.widgets.dialogs import confirmation
from diffbev_tui.widgets.plain import PlainContainer

_FRAME_LINES = 3
"""Status, tabs, keys."""


class Pane(RunInThread, PlainContainer, can_focus=True):
    """What a pane does; each shows one side of the snapshot, which the switcher hands down."""

    BINDINGS: ClassVar[list[BindingType]] = []
    WRITES: ClassVar[frozenset[str]] = frozenset()
    """Actions that start, stop or write something: not offered while read-only."""

    snapshot = Snapshot(0.0)
    """The newest."""
    preferences = Preferences()
    graphics = "blocks"
    """How the terminal draws pictures."""
    overlay: tuple[str, ...] = ()
    """Runs that were chosen for the charts; none: the usual ones."""
    remaking = False
    """Whether its widgets are being made again, in another language."""

    @property
    def roots(self) -> WorkspacePaths | None:
        """The workspace; ``None`` on the welcome screen."""
        return self.snapshot.roots

    @property
    def read_only(self) -> bool:
        """Whether nothing may be started, stopped or written."""
        return self.snapshot.read_only

    @property
    def ready(self) -> bool:
        """Whether its widgets are there: not while they are made again, nor while the app closes."""
        return self.is_mounted and self.is_attached and self.app.is_running and not self.remaking

    @property
    def room(self) -> Size:
        """Its size; while it is hidden or new, the one it is about to get, so that it is drawn once only."""
        width, height = self.app.size
        return self.size or Size(width, height - _FRAME_LINES)

    # handed down by the switcher -----------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new; called about once a second while the pane is visible."""

    def go_to_run(self, run: str) -> None:
        """Show that run from now on; its directory."""

    def go_to_step(self, step: str) -> None:
        """Choose a step of the runbook."""

    def update_preferences(self, before: Preferences) -> None:
        """Show what ``preferences`` have become, except the language."""

    def retranslate(self) -> None:
        """Show everything in the language that was just chosen."""
        self.run_worker(self._recompose(), exclusive=True, group="retranslate")

    async def _recompose(self) -> None:
        focused = self.screen.focused
        had_focus = focused is not None and self in focused.ancestors
        self.remaking = True
        try:
            await self.recompose()
        finally:
            self.remaking = False
        if had_focus and self.display:  # what had it is gone, and the keys with it
            self.focus_inside()
        self.update_snapshot(self.snapshot)

    # asked of the app ----------------------------------------------------------------------------

    def ask_app(self, message: Message) -> None:
        """Post to the app itself: what is posted in a watcher of the parent does not bubble beyond it."""
        self.app.post_message(message)

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a toast."""
        self.ask_app(Say(text, severity))

    def copy(self, text: str) -> None:
        """Put ``text`` on the clipboard."""
        self.ask_app(Copy(text))

    def confirm(self, question: str, consequence: str, then: Callable[[], object]) -> None:
        """Ask, and call ``then`` if the answer is yes."""

        def answered(answer: str | None) -> None:
            if answer == "yes":
                then()

        self.app.push_screen(confirmation(question, consequence), answered)

    def refused(self) -> bool:
        """Whether the workspace is read-only, which is then said."""
        if self.read_only:
            self.say(tr("app.read_only_refused"), "warning")
        return self.read_only

    def on_job_failed(self, message: JobFailed) -> None:
        """Say what went wrong in a thread."""
        message.stop()
        self.say(message.words, "error")

    def focus_inside(self) -> None:
        """Give the keys to what they are for first, as this pane comes into view."""
        inside = [widget for widget in self.screen.focus_chain if self in widget.ancestors]
        (inside[0] if inside else self).focus()

    def copy_text(self) -> str | None:
        """What ``y`` copies: the thing in focus."""
        return None
