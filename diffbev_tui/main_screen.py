"""What is below all dialogs: status, tabs, the pane in view, keys."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from diffbev_tui.i18n import language, tr
from diffbev_tui.messages import Prefer, Say
from diffbev_tui.preferences import PACES
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.switcher import PaneSwitcher
from diffbev_tui.themes import theme_names
from diffbev_tui.widgets.key_line import KeyLine
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainScreen
from diffbev_tui.widgets.status_line import StatusLine
from diffbev_tui.widgets.tab_line import TabLine


class MainScreen(PlainScreen):
    """Its widgets are composed by the app, which binds its attributes to the switcher."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("L", "language", "app.key_language", show=False),
        Binding("T", "theme", "app.key_theme", show=False),
        Binding("left_square_bracket", "pace(1)", "app.key_slower", show=False),
        Binding("right_square_bracket", "pace(-1)", "app.key_faster", show=False),
    ]
    _snapshot = Snapshot(0.0)

    @property
    def switcher(self) -> PaneSwitcher:
        """All panes that there are."""
        return self.query_one(PaneSwitcher)

    @property
    def pane(self) -> Pane | None:
        """The pane in view."""
        found = self.query(PaneSwitcher)  # none while the app is closing
        return found.first().in_view if found else None

    def show_lines(self, snapshot: Snapshot, *, read_only: bool, behind_s: float) -> None:
        """Show the lines around the pane; see ``StatusLine.show``."""
        self._snapshot = snapshot
        if not self.is_active or not self.query(StatusLine):  # a dialog, or the app is closing
            return
        self.query_one(StatusLine).show(snapshot, read_only=read_only, behind_s=behind_s)
        self.query_one(TabLine).show(self.switcher.shown)
        self._show_keys()

    def _show_keys(self) -> None:
        for line in self.query(KeyLine):  # none while the app is closing
            line.show(read_only=self._snapshot.read_only)

    def on_descendant_focus(self) -> None:
        """Other keys work now."""
        if self.is_active:
            self.call_after_refresh(self._show_keys)

    async def show_pane(self, name: str, run: str, *, step: str, action: str) -> None:
        """Show a pane; it is made when it is shown for the first time.

        Args:
            name: one of ``PANES``.
            run: its directory; empty for the current one.
            step: of the runbook, to choose there; may be empty.
            action: of the pane, to do then; may be empty.
        """
        await self.switcher.show(name, run)
        pane = self.pane
        if pane is None or not pane.ready:  # the app is closing
            return
        if step:
            pane.go_to_step(step)
        if action:
            await pane.run_action(action)

    async def welcome(self) -> None:
        """Show the screen to open or make a workspace with."""
        from diffbev_tui.welcome.pane import WelcomePane

        self.query_one(TabLine).display = False
        await self.switcher.show_alone(WelcomePane(id="pane-welcome"), "welcome")
        self.query_one(WelcomePane).focus_first()

    async def clear(self) -> None:
        """Back to no pane at all."""
        await self.switcher.clear()
        self.query_one(TabLine).display = True

    # preferences by key --------------------------------------------------------------------------

    def action_language(self) -> None:
        """The other language."""
        self.post_message(Prefer({"language": "en" if language() == "zh" else "zh"}))

    def action_theme(self) -> None:
        """The next theme."""
        names = theme_names(self.app.available_themes)
        name = names[(names.index(self.app.theme) + 1) % len(names)]
        self.post_message(Prefer({"theme": name}))
        self.post_message(Say(tr("app.theme", name=name)))

    def action_pace(self, step: int) -> None:
        """Check the files less or more often."""
        place = PACES.index(self.switcher.preferences.pace) + step
        pace = PACES[min(max(place, 0), len(PACES) - 1)]
        self.post_message(Prefer({"pace": pace}))
        self.post_message(Say(tr("app.pace", seconds=pace)))
