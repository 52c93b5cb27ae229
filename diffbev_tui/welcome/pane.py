"""No workspace yet: make one for nuScenes, or a synthetic one to try."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Input, Log, Static

from diffbev_engine.core.bilingual import Language
from diffbev_engine.core.files import expanded
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_tui.detached_process import DetachedProcess
from diffbev_tui.engine import Answer, ask_engine
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.log_tail import LogTail
from diffbev_tui.messages import OpenWorkspace
from diffbev_tui.welcome.demo import demo_workspace, set_up_demo
from diffbev_tui.widgets.pane import Pane

_POLL_S = 0.4
Progress = tuple[DetachedProcess, list[str], bool]
"""A demo that is being set up, new lines of its log, whether it has ended."""


class WelcomePane(Pane, can_focus=False):
    """Two ways to begin."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "welcome.key_next"),
        Binding("up", "app.focus_previous", show=False),
        Binding("escape", "app.leave", "app.key_quit"),
    ]

    @dataclass
    class Made(Message):
        """A workspace for nuScenes was made, or not."""

        workspace: Path
        answer: Answer

    @dataclass
    class DemoStarted(Message):
        """The demo is being set up; or why not."""

        setup: DetachedProcess | str

    @dataclass
    class Followed(Message):
        """The log of the demo was read."""

        progress: Progress

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._setup: DetachedProcess | None = None
        self._tail: LogTail | None = None
        self._busy = False

    def compose(self) -> ComposeResult:
        """What this is, the two ways with their folders, and what they say."""
        with Vertical(id="welcome-box"):
            yield Static(tr("welcome.what"), id="welcome-what", markup=False)
            yield Static(tr("welcome.with_data"), classes="welcome-way", markup=False)
            yield from _field("workspace", str(Path.cwd()))
            yield from _field("nuscenes", "", "/data/nuScenes")
            yield Button(tr("welcome.init"), id="welcome-init", variant="primary", compact=True)
            yield Static(tr("welcome.without_data"), classes="welcome-way", markup=False)
            yield from _field("out", str(Path.cwd() / "diffbev_demo"))
            yield Button(tr("welcome.demo"), id="welcome-demo", variant="primary", compact=True)
            yield Static(id="welcome-state", markup=False)
            yield Log(id="welcome-log", max_lines=2_000)

    def on_mount(self) -> None:
        """Watch what is running."""
        self.set_interval(_POLL_S, self._poll)

    def focus_first(self) -> None:
        """Where typing starts."""
        self.query_one("#welcome-nuscenes", Input).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One of the two ways."""
        self._begin(self._demo if event.button.id == "welcome-demo" else self._init)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter does what the button below does."""
        self._begin(self._demo if event.input.id == "welcome-out" else self._init)

    def _begin(self, way: Callable[[], None]) -> None:
        if self._busy:
            self.say(tr("welcome.busy"), "warning")
        elif not self.refused():
            way()

    def _folder(self, name: str) -> Path | None:
        text = self.query_one(f"#welcome-{name}", Input).value.strip()
        return expanded(text).absolute() if text else None

    # for nuScenes --------------------------------------------------------------------------------

    def _init(self) -> None:
        workspace, nuscenes = self._folder("workspace"), self._folder("nuscenes")
        if workspace is None or nuscenes is None:
            self.say(tr("welcome.both"), "warning")
            return
        self._say_state(f"● {tr('welcome.making', path=workspace)}", busy=True)
        self.run_in_thread("init", partial(_make, workspace, nuscenes), partial(self.Made, workspace))

    def on_welcome_pane_made(self, message: Made) -> None:
        """Show what it said, and go on."""
        answer = message.answer
        self.query_one("#welcome-log", Log).clear().write(answer.output)
        self._ended(answer.exit_code, answer.last_line, message.workspace)

    # the demo ------------------------------------------------------------------------------------

    def _demo(self) -> None:
        out = self._folder("out")
        if out is None:
            self.say(tr("welcome.name_out"), "warning")
            return
        self._say_state(f"● {tr('welcome.setting_up', path=out)}", busy=True)
        self.run_in_thread("demo", partial(_set_up, out, language()), self.DemoStarted)

    def on_welcome_pane_demo_started(self, message: DemoStarted) -> None:
        """Follow it."""
        if isinstance(message.setup, str):
            self._ended(1, message.setup, Path())
            return
        self._setup, self._tail = message.setup, LogTail(message.setup.log)
        self.query_one("#welcome-log", Log).clear()

    def _poll(self) -> None:
        setup, tail = self._setup, self._tail
        if setup is not None and tail is not None:
            self.run_in_thread("follow", partial(_follow, setup, tail), self.Followed)

    def on_welcome_pane_followed(self, message: Followed) -> None:
        """Show what is new, and go on when it has ended."""
        setup, lines, ended = message.progress
        if setup is not self._setup or not self.ready:
            return
        self.query_one("#welcome-log", Log).write_lines(lines)
        out = setup.log.parent
        if not ended:
            took = duration(time.time() - setup.since)
            self._say_state(f"● {tr('welcome.setting_up', path=out)}  {took}\n{tr('welcome.goes_on')}")
            return
        self._setup = None
        if setup.exit_code is None:  # started by a UI that was left: repeat it to learn how it ended
            self._demo()
        else:
            self._ended(setup.exit_code, lines[-1] if lines else self._last_line(), demo_workspace(out))

    def _last_line(self) -> str:
        return next((line for line in reversed(self._tail.lines if self._tail else ()) if line.strip()), "")

    # both ----------------------------------------------------------------------------------------

    def _ended(self, exit_code: int, last_line: str, workspace: Path) -> None:
        self._busy = False
        if exit_code:
            why = last_line.removeprefix("error: ")
            self._say_state(f"✗ {tr('welcome.failed')}")
            self.say(why, "error")
        else:
            self._say_state("")
            self.ask_app(OpenWorkspace(find_roots(workspace)))

    def _say_state(self, text: str, *, busy: bool | None = None) -> None:
        self._busy = self._busy if busy is None else busy
        self.query_one("#welcome-state", Static).update(text)

    async def _recompose(self) -> None:
        """In another language, with what was typed."""
        typed = {field.id: field.value for field in self.query(Input)}
        await super()._recompose()
        for field in self.query(Input):
            field.value = typed.get(field.id, field.value)
        if self._tail is not None:
            self.query_one("#welcome-log", Log).write_lines(list(self._tail.lines))
        self.focus_first()

    def copy_text(self) -> str | None:
        """What was said."""
        return "\n".join(self.query_one("#welcome-log", Log).lines) or None


def _field(name: str, value: str, placeholder: str = "") -> ComposeResult:
    with Horizontal(classes="welcome-field"):
        yield Static(tr(f"welcome.{name}"), markup=False)
        yield Input(value, placeholder=placeholder, id=f"welcome-{name}", compact=True)


def _make(workspace: Path, nuscenes: Path) -> Answer:
    try:
        return ask_engine("init", workspace, "--nuscenes-root", nuscenes)
    except (OSError, SubprocessError) as error:
        return Answer(1, str(error))


def _set_up(out: Path, spoken: Language) -> DetachedProcess | str:
    try:
        return set_up_demo(out, spoken)
    except OSError as error:
        return f"{out}: {error.strerror or error}"


def _follow(setup: DetachedProcess, tail: LogTail) -> Progress:
    ended = setup.ended  # before the log is read: what it said last is in there
    before = tail.added
    tail.look()
    new = tail.added - before
    return setup, list(tail.lines)[-new:] if new else [], ended
