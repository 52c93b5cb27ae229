"""Engine commands that were started from a screen: previewed, started, followed, and how they ended."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.text import Text
from textual.message import Message
from textual.reactive import var

from diffbev_engine.core.errors import ExitCode
from diffbev_engine.core.plain_text import plain
from diffbev_tui.detached_process import DetachedProcess, find_running, start_or_find
from diffbev_tui.engine import ask_engine, engine_command
from diffbev_tui.fixes import Fix, FixKind, command_name, fixes_of_run
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.messages import Copy, PollNow, Say, ShowScreen
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.threads import JobFailed, RunInThread
from diffbev_tui.tools import tools_named
from diffbev_tui.widgets.choose_fix import choose_fix
from diffbev_tui.widgets.dialogs import Choice
from diffbev_tui.widgets.line import Line

_POLL_S = 1.0
_TOLD_BY_ITS_SCREEN = "diagnose_"
"""Logs of commands of which the Classes screen tells what they found."""
_NOTIFY_WITHIN_S = 120.0


@dataclass(frozen=True)
class CommandSeen:
    """A command as it was a moment ago."""

    process: DetachedProcess
    ended: bool
    last_line: str

    @property
    def name(self) -> str:
        """As its log is called."""
        return self.process.log.stem


class CommandStrip(RunInThread, Line):
    """``● prepare-depth  12 s  last line`` of each; hidden while nothing runs."""

    snapshot: var[Snapshot] = var(Snapshot(0.0), init=False, always_update=True)

    @dataclass
    class Begun(Message):
        """A command was started, or found to run already."""

        process: DetachedProcess

    @dataclass
    class Found(Message):
        """Commands that an earlier UI has started."""

        processes: tuple[DetachedProcess, ...]

    @dataclass
    class Seen(Message):
        """The logs were read."""

        commands: tuple[CommandSeen, ...]

    @dataclass
    class Resumed(Message):
        """A training was started with a fix."""

        words: str

    @dataclass
    class FixesFound(Message):
        """What can be done about a run."""

        run: str
        fixes: tuple[Fix, ...]

    def __init__(self) -> None:
        super().__init__(id="commands")
        self.display = False
        self._followed: list[DetachedProcess] = []
        self._searched: Path | None = None

    def on_mount(self) -> None:
        """Look about once a second while something runs."""
        self.set_interval(_POLL_S, self._poll)

    def watch_snapshot(self, snapshot: Snapshot) -> None:
        """Find what an earlier UI of this workspace has started."""
        if snapshot.roots is not None and snapshot.roots.workspace != self._searched:
            self._searched, self._followed = snapshot.roots.workspace, []
            self.run_in_thread("find", partial(find_running, _logs(snapshot)), self.Found)

    def on_command_strip_found(self, message: Found) -> None:
        """Follow them."""
        known = {one.log for one in self._followed}
        self._followed += [one for one in message.processes if one.log not in known]
        self._poll()

    # starting ------------------------------------------------------------------------------------

    def ask(self, fix: Fix) -> None:
        """Show what a fix would run and change, and do it if that is wanted; plain advice is copied."""
        if fix.kind is FixKind.COPY or self.snapshot.read_only:
            self.post_message(Copy(fix.copied))
            return
        answers = {name: tr(f"app.fix_answer_{name}") for name in ("run", "copy", "no")}
        question = tr(f"app.fix_ask_{fix.kind.value}")
        self.app.push_screen(Choice(question, fix.preview, answers, "no"), partial(self._answered, fix))

    def offer(self, run: str) -> None:
        """Look for what can be done about a run."""
        report = next((one for one in self.snapshot.runs if one.path == run), None)
        roots = self.snapshot.roots
        if report is not None and roots is not None:
            named = tools_named(report.reason, self.snapshot)
            self.run_in_thread(
                "fixes",
                partial(fixes_of_run, report, roots),
                lambda fixes: self.FixesFound(Path(run).name, (*fixes, *named)),
            )

    def on_command_strip_fixes_found(self, message: FixesFound) -> None:
        """Let one be chosen."""
        if message.fixes:
            name, read_only = plain(message.run), self.snapshot.read_only
            choose_fix(self.app, tr("app.fixes_of_run", run=name), message.fixes, read_only=read_only)
        else:
            self.post_message(Say(tr("app.no_fixes", run=plain(message.run))))

    def send_test_notification(self) -> None:
        """To everybody whom the workspace names."""
        roots = self.snapshot.roots
        if self.snapshot.read_only or roots is None:
            self.post_message(Say(tr("app.read_only_refused"), "warning"))
        elif not self.busy_seconds("notify"):
            self.post_message(Say(tr("app.notify_sending")))
            self.run_in_thread("notify", partial(_send_test, roots.workspace), lambda said: said)

    def _answered(self, fix: Fix, answer: str | None) -> None:
        if answer == "copy":
            self.post_message(Copy(fix.copied))
        elif answer == "run":
            self._start(fix)

    def _start(self, fix: Fix) -> None:
        roots = self.snapshot.roots
        if self.snapshot.read_only or roots is None:
            self.post_message(Say(tr("app.read_only_refused"), "warning"))
        elif fix.kind is FixKind.STEP:
            self.post_message(ShowScreen("runbook", step=fix.step, action="run"))
        elif fix.kind is FixKind.RESUME:
            self.post_message(Say(tr("monitor.resuming", run=plain(fix.run.name if fix.run else ""))))
            self.run_in_thread("resume", partial(_resume, fix), self.Resumed)
        else:
            log = _logs(self.snapshot) / f"{command_name(fix.argv).replace(' ', '_')}.log"
            start = partial(start_or_find, engine_command(*fix.argv), log, roots.workspace)
            self.run_in_thread(f"start {log.stem}", start, self.Begun)

    def on_command_strip_begun(self, message: Begun) -> None:
        """Follow it."""
        process = message.process
        self.follow(process)
        self.post_message(Say(tr("app.tool_started", command=process.log.stem, log=process.log)))

    def follow(self, process: DetachedProcess) -> None:
        """Show its progress."""
        self._followed = [one for one in self._followed if one.log != process.log] + [process]
        self._poll()

    def on_command_strip_resumed(self, message: Resumed) -> None:
        """Say what was started."""
        self.post_message(Say(message.words))
        self.post_message(PollNow())

    def on_job_failed(self, message: JobFailed) -> None:
        """Say why it could not be started."""
        message.stop()
        self.post_message(Say(message.words, "error"))

    # following -----------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._followed and not self.busy_seconds("look"):
            self.run_in_thread("look", partial(_look, tuple(self._followed)), self.Seen)

    def on_command_strip_seen(self, message: Seen) -> None:
        """Show what runs, and say what has ended."""
        ended = [one for one in message.commands if one.ended and one.process in self._followed]
        for one in ended:
            self._followed.remove(one.process)
            if not one.name.startswith(_TOLD_BY_ITS_SCREEN):
                self.post_message(_ending(one))
        if ended:
            self.post_message(PollNow())
        running = [one for one in message.commands if one.process in self._followed]
        self.display = bool(running)
        if running:
            self.put(_line(running))

    @property
    def running(self) -> tuple[DetachedProcess, ...]:
        """What runs now."""
        return tuple(self._followed)

    def manage(self, process: DetachedProcess) -> None:
        """Ask whether to show its output or to stop it."""
        answers = {name: tr(f"app.tool_{name}") for name in ("show_output", "stop")}
        if self.snapshot.read_only:
            del answers["stop"]
        answers["no"] = tr("app.fix_answer_no")
        question = tr("app.tool_running", command=process.log.stem)
        told = tr("app.tool_stop_consequence", log=process.log)
        self.app.push_screen(Choice(question, told, answers, "show_output"), partial(self._managed, process))

    def _managed(self, process: DetachedProcess, answer: str | None) -> None:
        if answer == "show_output":
            self.post_message(ShowScreen("log", str(process.log)))
        elif answer == "stop":
            self.run_in_thread("stop", process.interrupt, lambda _: Say(tr("app.tool_stopping")))

    def on_click(self) -> None:
        """Show its output, or stop it."""
        if self._followed:
            self.manage(self._followed[0])


def _logs(snapshot: Snapshot) -> Path:
    assert snapshot.roots is not None
    return snapshot.roots.state_folder / "logs"


def _look(processes: Sequence[DetachedProcess]) -> tuple[CommandSeen, ...]:
    """Whether it has ended is asked before its log is read: what it said last is in there."""
    return tuple(CommandSeen(one, one.ended, one.last_line) for one in processes)


def _resume(fix: Fix) -> str:
    """Start the training, and say so."""
    # What starts a run is imported when it is needed: not at the start of the UI.
    from diffbev_engine.runs.actions import apply_remedy, resume_run
    from diffbev_tui.widgets.run_control import started_words

    assert fix.run is not None
    if fix.overrides or fix.environment:
        return started_words(apply_remedy(fix.run, fix.overrides, fix.environment))
    return started_words(resume_run(fix.run))


def _send_test(workspace: Path) -> Say:
    """What became of it; services are named by their schemes, never by their URLs."""
    answer = ask_engine("runs", "notify-test", workspace, "--json", timeout_s=_NOTIFY_WITHIN_S)
    line = answer.last_line
    if not line.startswith("{"):
        return Say(line.removeprefix("error: "), "error")
    told = json.loads(line)
    return Say(plain(told["message"][language()], keep="\n"), "information" if told["ok"] else "error")


def _ending(one: CommandSeen) -> Say:
    code = one.process.exit_code
    facts = {"command": one.name, "took": duration(time.time() - one.process.since), "line": one.last_line}
    if code is None:
        return Say(tr("app.tool_ended", **facts))
    if code == ExitCode.INTERRUPTED or code < 0:
        return Say(tr("app.tool_interrupted", **facts), "warning")
    if code:
        why = one.last_line.removeprefix("error: ")
        return Say(tr("app.tool_failed", **{**facts, "line": why}, code=code), "error")
    return Say(tr("app.tool_passed", **facts))


def _line(running: Sequence[CommandSeen]) -> Text:
    now, line = time.time(), Text(" ", no_wrap=True, overflow="ellipsis")
    for one in running:
        line.append(f"● {one.name}", "bold green")
        line.append(f"  {duration(now - one.process.since)}  {one.last_line}   ", "dim")
    return line
