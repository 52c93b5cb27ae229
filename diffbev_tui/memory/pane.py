"""After an out-of-memory crash: who held the memory, and what to do."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runs.actions import Started, apply_remedy
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.i18n import language, tr
from diffbev_tui.memory.state import MemoryCase, memory_case
from diffbev_tui.memory.text import Chosen, calm_page, crash_page, host_page
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainVerticalScroll
from diffbev_tui.widgets.run_control import started_words

_MARGINS = 6
"""Columns that the page leaves free, its scroll bar among them."""
_TROUBLED = (RunCondition.OOM, RunCondition.DEAD)


class MemoryPane(Pane):
    """Shows the newest run that ran out of memory, else the current one."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"apply"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "memory.key_move", show=False),
        Binding("up,k", "move(-1)", "memory.key_move_up", show=False),
        Binding("a", "apply", "memory.key_apply"),
        Binding("d", "difference", "memory.key_difference"),
    ]

    @dataclass
    class CaseRead(Message):
        """The run in question was looked into."""

        case: MemoryCase

    @dataclass
    class Resumed(Message):
        """The run continues with a remedy."""

        started: Started

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._case: MemoryCase | None = None
        self._chosen = 0
        self._difference = False

    def compose(self) -> ComposeResult:
        """One page."""
        with PlainVerticalScroll(can_focus=False):
            yield Static(id="memory-page")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Check the run in question."""
        run = next((run for run in snapshot.runs if run.state in _TROUBLED), snapshot.current)
        if snapshot.current is not None and snapshot.current.state is RunCondition.RUNNING:
            run = snapshot.current
        if run is None:
            self.query_one("#memory-page", Static).update(tr("memory.empty"))
        else:
            self._ask(run)

    def _ask(self, run: RunReport) -> None:
        self.run_in_thread("case", partial(memory_case, run), self.CaseRead)

    def on_memory_pane_case_read(self, message: CaseRead) -> None:
        """Show it."""
        if self.ready:
            self._show(message.case)

    def _show(self, case: MemoryCase) -> None:
        self._case = case
        self._chosen = min(self._chosen, max(0, len(case.remedies) - 1))
        chosen, width = (
            Chosen(self._chosen, self._difference),
            (self.size.width or self.app.size.width) - _MARGINS,
        )
        if case.kind == "gpu":
            page = crash_page(case, chosen, width)
        else:
            page = host_page(case, chosen) if case.kind == "host" else calm_page(case)
        self.query_one("#memory-page", Static).update(page)

    # actions -------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Choose a remedy."""
        if self._case is not None and self._case.remedies:
            self._chosen = (self._chosen + by) % len(self._case.remedies)
            self._show(self._case)

    def action_difference(self) -> None:
        """Show what the chosen remedy writes."""
        self._difference = not self._difference
        if self._case is not None:
            self._show(self._case)

    def action_apply(self) -> None:
        """Resume with the chosen remedy."""
        case = self._case
        if case is None or not case.remedies:
            self.say(tr("memory.nothing_to_apply"))
            return
        if self.refused():
            return
        if case.checkpoint is None:
            self.say(tr("memory.no_checkpoint"), "warning")
            return
        remedy, run = case.remedies[self._chosen], Path(case.run.path)
        what = tr("memory.apply_consequence", command=_command(run, remedy), checkpoint=case.checkpoint)
        question = tr("memory.apply_question", title=remedy.text[language()], run=run.name)
        self.confirm(question, what, lambda: self._resume(run, remedy))

    def _resume(self, run: Path, remedy: Remedy) -> None:
        self.run_in_thread(
            "resume", partial(apply_remedy, run, remedy.overrides, remedy.environment), self.Resumed
        )

    def on_memory_pane_resumed(self, message: Resumed) -> None:
        """Say what was started."""
        self.say(started_words(message.started))

    def copy_text(self) -> str | None:
        """The command that the chosen remedy means."""
        case = self._case
        if case is None or not case.remedies:
            return None
        return _command(Path(case.run.path), case.remedies[self._chosen])


def _command(run: Path, remedy: Remedy) -> str:
    environment = "".join(f"{name}={value} " for name, value in remedy.environment.items())
    options = "".join(f" --set {override}" for override in remedy.overrides)
    return f"{environment}diffbev-engine runs resume {run}{options}"
