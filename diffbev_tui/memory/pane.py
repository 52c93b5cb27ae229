"""After an out-of-memory crash: who held the memory, and what to do."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.fixes import Fix, command_fix, fix_of
from diffbev_tui.i18n import tr
from diffbev_tui.memory.state import MemoryCase, memory_case
from diffbev_tui.memory.text import Chosen, calm_page, crash_page, host_page
from diffbev_tui.messages import RunFix
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainVerticalScroll

_MARGINS = 6
"""Columns that the page leaves free, its scroll bar among them."""
_TROUBLED = (RunCondition.OOM, RunCondition.DEAD)


class MemoryPane(Pane):
    """Shows the newest run that ran out of memory, else the current one."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"apply", "measure"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "memory.key_move", show=False),
        Binding("up,k", "move(-1)", "memory.key_move_up", show=False),
        Binding("a", "apply", "memory.key_apply"),
        Binding("m", "measure", "memory.key_measure"),
        Binding("d", "difference", "memory.key_difference"),
    ]

    @dataclass
    class CaseRead(Message):
        """The run in question was looked into."""

        case: MemoryCase

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
            page = host_page(case, chosen) if case.kind == "host" else calm_page(case, can=not self.read_only)
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
        """Resume with the chosen remedy; what a person has to do is copied."""
        fix = self._fix()
        if fix is None:
            self.say(tr("memory.nothing_to_apply"))
        elif not self.refused():
            self.ask_app(RunFix(fix))

    def action_measure(self) -> None:
        """Measure the memory of the configuration of this run."""
        case = self._case
        if case is None or not case.measure:
            self.say(tr("memory.nothing_to_measure"))
        elif not self.refused():
            name = Path(case.run.path).name
            self.ask_app(RunFix(command_fix(tr("app.tool_memory", method=name), case.measure)))

    def _fix(self) -> Fix | None:
        case = self._case
        if case is None or not case.remedies:
            return None
        return fix_of(case.remedies[self._chosen], self.roots, case.run.path)

    def copy_text(self) -> str | None:
        """The command that the chosen remedy means, else its words."""
        fix = self._fix()
        return fix.copied if fix is not None else None
