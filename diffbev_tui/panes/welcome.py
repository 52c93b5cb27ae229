"""No workspace yet: make one, or a synthetic one to try."""

from pathlib import Path

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Log, Static

from diffbev_engine.runbook.roots import find_roots
from diffbev_tui.core.engine import Answer, ask_engine
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.pane import Pane


class WelcomePane(Pane, can_focus=False):
    """Two ways to begin."""

    def compose(self) -> ComposeResult:
        """Two paths, two buttons, and what they say."""
        with Vertical(id="welcome-box"):
            yield Static(tr("welcome.what"), markup=False)
            yield Static(tr("welcome.workspace"), markup=False)
            yield Input(str(Path.cwd()), id="welcome-workspace")
            yield Static(tr("welcome.nuscenes"), markup=False)
            yield Input(placeholder="/data/nuScenes", id="welcome-nuscenes")
            with Horizontal(id="welcome-buttons"):
                yield Button(tr("welcome.init"), id="welcome-init", variant="primary", compact=True)
            yield Static(tr("welcome.demo"), markup=False)
            yield Log(id="welcome-log")

    def focus_first(self) -> None:
        """Where typing starts."""
        self.query_one("#welcome-nuscenes", Input).focus()

    def on_button_pressed(self) -> None:
        """Make the workspace."""
        self._init()

    def on_input_submitted(self) -> None:
        """Enter does the same."""
        self._init()

    def _init(self) -> None:
        if self.ui.read_only:
            self.ui.say(tr("app.read_only_refused"), "warning")
            return
        workspace = self.query_one("#welcome-workspace", Input).value.strip()
        nuscenes = self.query_one("#welcome-nuscenes", Input).value.strip()
        if not workspace or not nuscenes:
            self.ui.say(tr("welcome.both"), "warning")
            return
        self._make(Path(workspace).expanduser().absolute(), Path(nuscenes).expanduser().absolute())

    @work(thread=True, exclusive=True, group="init")
    def _make(self, workspace: Path, nuscenes: Path) -> None:
        answer = ask_engine("init", workspace, "--nuscenes-root", nuscenes)
        self.app.call_from_thread(self._made, workspace, answer)

    def _made(self, workspace: Path, answer: Answer) -> None:
        self.query_one("#welcome-log", Log).write(answer.output)
        if answer.exit_code:
            self.ui.say(answer.last_line, "error")
        else:
            self.ui.call_later(self.ui.open_workspace, find_roots(workspace))
