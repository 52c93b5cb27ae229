"""Per-class IoU of the current run, beside another one."""

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from diffbev_tui.core.classes import ClassScore, ClassTable, class_table
from diffbev_tui.core.diagnosis import Verdict, read_verdict
from diffbev_tui.core.show import UNKNOWN, bar
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import language, tr
from diffbev_tui.widgets.pane import Pane

_STEPS = "▁▂▃▄▅▆▇█"
Seen = tuple[str, str | None, "ClassTable | str", "Verdict | None"]


class ClassesPane(Pane):
    """A table that grows with every evaluation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "order", "classes.key_order"),
        Binding("c", "compare", "classes.key_compare"),
        Binding("o", "other_run", "classes.key_run"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._worst_first = False
        self._compared = 0
        self._run = 0
        self._seen: Seen | None = None

    def compose(self) -> ComposeResult:
        """One page."""
        with VerticalScroll(can_focus=False):
            yield Static(id="classes-page")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Read the evaluations of the run."""
        runs = [Path(run.path) for run in snapshot.runs]
        if snapshot.current is None or snapshot.roots is None:
            self.query_one("#classes-page", Static).update(tr("classes.empty"))
            return
        first = runs.index(Path(snapshot.current.path))
        run = runs[(first + self._run) % len(runs)]
        others = [path for path in runs if path != run]
        other = others[(self._compared - 1) % len(others)] if others and self._compared else None
        workspace = snapshot.roots.workspace
        self.beside(
            lambda: (
                run.name,
                other.name if other else None,
                class_table(run, other),
                read_verdict(workspace),
            ),
            self._show,
        )

    def _show(self, seen: Seen) -> None:
        self._seen = seen
        run, other, table, verdict = seen
        page = Text()
        if isinstance(table, str):
            page.append(f"{run}  ", "bold")
            page.append(table or tr("classes.no_evaluation"), "dim")
        else:
            self._draw(page, run, other, table)
        if verdict is not None:
            page.append(f"\n{tr('classes.verdict')} ", "bold")
            page.append(f"{verdict.title[language()]}  ")
            page.append(f"{verdict.path}\n", "dim")
            for line in verdict.evidence:
                page.append(f"  {line[language()]}\n", "dim")
        self.query_one("#classes-page", Static).update(page)

    def _draw(self, page: Text, run: str, other: str | None, table: ClassTable) -> None:
        page.append(f"{run} @ {table.step:,}   ", "bold")
        page.append(f"mIoU {_points(table.miou.iou)}", "bold")
        if table.miou.change is not None and table.before is not None:
            page.append(f"  {_signed(table.miou.change)} {tr('classes.since', step=f'{table.before:,}')}")
        if table.best is not None:
            page.append(
                f"   {tr('classes.best', miou=_points(table.best[1]), step=f'{table.best[0]:,}')}", "dim"
            )
        if other is not None:
            place = f"{other} @ {table.against_step:,}" if table.against_step else f"{other} {UNKNOWN}"
            page.append(f"   {tr('classes.against', run=place)}", "dim")
        wide = self.size.width >= 90
        heading = f"\n\n  {tr('classes.class_'):<22}{'IoU':>7}  {'':<12}{'Δ':>7}"
        page.append(
            heading + (f"  {'vs':>7}" if other else "") + ("  " + tr("classes.trend") if wide else ""), "dim"
        )
        page.append("\n")
        for one in self._ordered(table):
            self._draw_class(page, one, other is not None, wide)

    def _draw_class(self, page: Text, one: ClassScore, compared: bool, wide: bool) -> None:
        page.append(f"  {one.name:<22}")
        if one.iou is None:
            page.append(f"{UNKNOWN:>7}  {tr('classes.absent')}\n", "dim")
            return
        page.append(f"{_points(one.iou):>7}  ", "bold")
        page.append(f"{bar(one.iou):<12}", "cyan")
        page.append(f"{_signed(one.change):>7}", _colour(one.change))
        if compared:
            page.append(f"  {_signed(one.against):>7}", _colour(one.against))
        if wide:
            page.append(f"  {_spark(one.trend)}", "dim")
        page.append("\n")

    def _ordered(self, table: ClassTable) -> list[ClassScore]:
        if not self._worst_first:
            return list(table.classes)
        return sorted(table.classes, key=lambda one: (one.iou is None, one.iou or 0.0))

    def action_order(self) -> None:
        """Class order or worst first."""
        self._worst_first = not self._worst_first
        if self._seen is not None:
            self._show(self._seen)

    def action_compare(self) -> None:
        """Another run beside it, then none."""
        self._compared = (self._compared + 1) % max(1, len(self.ui.snapshot.runs))
        self.update_snapshot(self.ui.snapshot)

    def action_other_run(self) -> None:
        """The table of another run."""
        self._run = (self._run + 1) % max(1, len(self.ui.snapshot.runs))
        self.update_snapshot(self.ui.snapshot)

    def copy_text(self) -> str | None:
        """The table."""
        return str(self.query_one("#classes-page", Static).content)


def _points(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _colour(value: float | None) -> str:
    if value is None or abs(value) < 5e-4:
        return "dim"
    return "green" if value > 0 else "red"


def _spark(values: tuple[float, ...]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(_STEPS[round((value - low) / span * (len(_STEPS) - 1))] for value in values)
