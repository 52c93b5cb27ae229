"""After a crash for lack of memory: who held it, and what to do."""

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from diffbev_engine.runs.survey import RunCondition, RunReport
from diffbev_tui.core.engine import ask_engine
from diffbev_tui.core.oom import MemoryCase, Remedy, memory_case
from diffbev_tui.core.show import UNKNOWN, bar, gib
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import language, tr
from diffbev_tui.widgets.pane import Pane

_FILLS = {"torch": "▓", "unused": "▒", "context": "░", "others": "▤", "free": "·"}
_TROUBLED = (RunCondition.OOM, RunCondition.DEAD)


class MemoryPane(Pane):
    """Shows the newest run that ran out of memory, else the current one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "memory.key_move", show=False),
        Binding("up,k", "move(-1)", "memory.key_move_up", show=False),
        Binding("a", "apply", "memory.key_apply"),
        Binding("d", "difference", "memory.key_difference"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._case: MemoryCase | None = None
        self._chosen = 0
        self._difference = False

    def compose(self) -> ComposeResult:
        """One page."""
        with VerticalScroll(can_focus=False):
            yield Static(id="memory-page")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Look at the run in question."""
        run = next((run for run in snapshot.runs if run.state in _TROUBLED), snapshot.current)
        if snapshot.current is not None and snapshot.current.state is RunCondition.RUNNING:
            run = snapshot.current
        if run is None:
            self.query_one("#memory-page", Static).update(tr("memory.empty"))
        else:
            self._ask(run)

    def _ask(self, run: RunReport) -> None:
        self.beside(lambda: memory_case(run), self._show)

    def _show(self, case: MemoryCase) -> None:
        self._case = case
        self._chosen = min(self._chosen, max(0, len(case.remedies) - 1))
        page = Text()
        {"gpu": self._gpu, "host": self._host, "none": self._calm}[case.kind](page, case)
        self.query_one("#memory-page", Static).update(page)

    def _gpu(self, page: Text, case: MemoryCase) -> None:
        report, parsed = case.report, case.parsed
        batch = (report.get("batch") or {}).get("samples_per_gpu") or UNKNOWN
        page.append("! ", "bold red")
        page.append(
            tr(
                "memory.crashed",
                run=Path(case.run.path).name,
                step=f"{report['step']:,}" if "step" in report else UNKNOWN,
                phase=report.get("phase", UNKNOWN),
                batch=batch,
                precision=report.get("precision", UNKNOWN),
            )
            + "\n",
            "bold",
        )
        if parsed is not None:
            sizes = {"asked": gib(parsed.requested), "free": gib(parsed.free), "total": gib(parsed.capacity)}
            page.append(tr("memory.asked", **sizes) + "\n\n")
        self._draw_bar(page, case)
        for one in report.get("others", ()):
            page.append(
                f"    pid {one.get('pid')}  {gib(one.get('mib'))} GiB  {one.get('name') or UNKNOWN}\n", "dim"
            )
        self._draw_curve(page, case)
        self._draw_remedies(page, case)

    def _draw_bar(self, page: Text, case: MemoryCase) -> None:
        parts, total = case.parts()
        if not parts or not total:
            return
        width = max(20, min(self.size.width - 4, 100))
        page.append(
            "".join(_FILLS[part.name] * max(1, round(part.mib / total * width)) for part in parts) + "\n"
        )
        for part in parts:
            page.append(f"{_FILLS[part.name]} {tr('memory.part_' + part.name)} {gib(part.mib)} GiB   ")
        page.append("\n")

    def _draw_curve(self, page: Text, case: MemoryCase) -> None:
        points = case.curve.points if case.curve is not None else ()
        if not points:
            return
        page.append("\n" + tr("memory.curve") + "\n", "bold")
        peaks = {point.batch: point.peak for point in points if point.peak is not None}
        most = max(peaks.values(), default=1.0)
        for batch, peak in peaks.items():
            page.append(f"  {batch:>4}  {bar(peak / most, 20)}  {gib(peak)} GiB\n")

    def _draw_remedies(self, page: Text, case: MemoryCase) -> None:
        page.append("\n" + tr("memory.what_to_do") + "\n", "bold")
        if not case.remedies:
            page.append("  " + tr("memory.no_remedies") + "\n")
        for number, remedy in enumerate(case.remedies):
            mark = "▶" if number == self._chosen else " "
            spoken = language()
            page.append(f" {mark} {number + 1} {remedy.title[spoken]}\n", "bold" if mark == "▶" else "")
            page.append(f"      {remedy.saving[spoken]}  |  {remedy.cost[spoken]}\n", "dim")
            if self._difference and number == self._chosen:
                lines = _difference(remedy) or [tr("memory.no_setting")]
                page.append("".join(f"      + {line}\n" for line in lines), "green")
        page.append("\n" + tr("memory.resume_from", checkpoint=case.checkpoint or UNKNOWN) + "\n", "dim")

    def _host(self, page: Text, case: MemoryCase) -> None:
        page.append("! ", "bold red")
        page.append(tr("memory.host_crashed", run=Path(case.run.path).name) + "\n", "bold")
        page.append(case.run.message + "\n\n")
        page.append(tr("memory.host_what") + "\n")

    def _calm(self, page: Text, case: MemoryCase) -> None:
        page.append(tr("memory.calm", run=Path(case.run.path).name) + "\n")
        self._draw_curve(page, case)
        if case.curve is None:
            config = case.run.config or "CONFIG"
            page.append("\n" + tr("memory.measure", config=config) + "\n", "dim")

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
            self.ui.say(tr("memory.nothing_to_apply"))
            return
        if self.ui.read_only:
            self.ui.say(tr("app.read_only_refused"), "warning")
            return
        if case.checkpoint is None:
            self.ui.say(tr("memory.no_checkpoint"), "warning")
            return
        remedy, run = case.remedies[self._chosen], Path(case.run.path)
        what = tr("memory.apply_consequence", command=_command(run, remedy), checkpoint=case.checkpoint)
        question = tr("memory.apply_question", title=remedy.title[language()], run=run.name)
        self.ui.confirm(question, what, lambda: self._resume(run, remedy))

    @work(thread=True, exclusive=True, group="resume")
    def _resume(self, run: Path, remedy: Remedy) -> None:
        options = [word for override in remedy.overrides for word in ("--set", override)]
        answer = ask_engine("runs", "resume", run, *options, environment=remedy.environment)
        severity = "error" if answer.exit_code else "information"
        self.app.call_from_thread(self.ui.say, answer.last_line, severity)

    def copy_text(self) -> str | None:
        """The command that the chosen remedy means."""
        case = self._case
        if case is None or not case.remedies:
            return None
        return _command(Path(case.run.path), case.remedies[self._chosen])


def _difference(remedy: Remedy) -> list[str]:
    return [*remedy.overrides, *(f"{name}={value}" for name, value in remedy.environment.items())]


def _command(run: Path, remedy: Remedy) -> str:
    environment = "".join(f"{name}={value} " for name, value in remedy.environment.items())
    options = "".join(f" --set {override}" for override in remedy.overrides)
    return f"{environment}diffbev-engine runs resume {run}{options}"
