"""Per-class IoU of a run next to another one, the verdict of ``diagnose``, and pictures of samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.core.plain_text import plain
from diffbev_tui.classes.actions import DIAGNOSE, DiagnoseWork, DiagnosisPolled, DiagnosisStarted
from diffbev_tui.classes.diagnosis import Diagnosis, find_diagnosis
from diffbev_tui.classes.runs import ClassRuns
from diffbev_tui.classes.sample_view import LoadedSample, SampleView, load_sample
from diffbev_tui.classes.samples import Sample, find_samples
from diffbev_tui.classes.state import ClassScore, ClassTable, class_table
from diffbev_tui.classes.text import TableLook, class_rows, heading, sample_line, verdict
from diffbev_tui.detached_process import DetachedProcess
from diffbev_tui.fixes import Fix, FixKind
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.messages import FollowCommand
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.threads import JobFailed
from diffbev_tui.tools import tools_named
from diffbev_tui.widgets.choose_fix import choose_fix
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainVertical, PlainVerticalScroll


@dataclass(frozen=True)
class Seen:
    """What was read."""

    run: Path
    other: Path | None
    table: ClassTable | str
    diagnosis: Diagnosis | None
    samples: tuple[Sample, ...]
    number: int
    """Of the sample that is shown."""
    loaded: LoadedSample | None
    going_on: DetachedProcess | None
    """A diagnosis of the run that another UI has started."""


class ClassesPane(Pane):
    """A table that grows with every evaluation; pictures below it, or alone."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"diagnose"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "pictures", "classes.key_pictures"),
        Binding("right", "sample(1)", "classes.key_next_sample"),
        Binding("left", "sample(-1)", "classes.key_previous_sample", show=False),
        Binding("w", "order", "classes.key_order"),
        Binding("c", "compare", "classes.key_compare"),
        Binding("o", "other_run", "classes.key_run"),
        Binding("D", "diagnose", "classes.key_diagnose"),
        Binding("f", "fix", "classes.key_fix"),
        Binding("down,j", "scroll_page(1)", "classes.key_down", show=False),
        Binding("up,k", "scroll_page(-1)", "classes.key_up", show=False),
    ]

    @dataclass
    class Read(Message):
        """The files of the run were read."""

        seen: Seen

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._runs = ClassRuns()
        self._worst_first = False
        self._number = 0
        self._seen: Seen | None = None
        self._work = DiagnoseWork(self)

    def compose(self) -> ComposeResult:
        """The table and the verdict, then the pictures."""
        with PlainVerticalScroll(id="classes-table", can_focus=False):
            yield Static(id="classes-head", markup=False)
            yield Static(id="classes-rows", markup=False)
            yield Static(id="classes-verdict", markup=False)
        with PlainVertical(id="classes-pictures"):
            yield Static(id="classes-sample", markup=False)
            yield SampleView(id="classes-view")

    def on_resize(self) -> None:
        """Other columns fit now."""
        self.call_after_refresh(self._draw)

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Read what is new of the run."""
        shown, other = self._runs.shown(snapshot), self._runs.other(snapshot)
        self.set_class(shown is None, "-empty")
        if shown is None or snapshot.roots is None:
            self._seen = None
            self.query_one("#classes-head", Static).update(tr("classes.empty") if snapshot.taken else "")
            return
        roots, run = snapshot.roots, Path(shown.path)
        workspace = roots.workspace
        runs = [Path(one.path) for one in snapshot.runs]
        against = Path(other.path) if other else None
        number, known = self._number, self._seen.loaded if self._seen else None

        def read() -> Seen:
            going_on = self._work.read(run, roots)
            samples = find_samples(workspace, run)
            at = number % len(samples) if samples else 0
            sample = samples[at] if samples else None
            loaded = known if known is not None and known.sample == sample else None
            return Seen(
                run,
                against,
                class_table(run, against),
                find_diagnosis(workspace, runs, run),
                samples,
                at,
                loaded or (load_sample(sample) if sample else None),
                going_on,
            )

        self.run_in_thread("read", read, self.Read)

    def on_classes_pane_read(self, message: Read) -> None:
        """Show it."""
        if self.ready:
            self._show(message.seen)

    def on_job_failed(self, message: JobFailed) -> None:
        """Say what could not be done."""
        if message.key == DIAGNOSE:
            message.stop()
            self.say(tr("classes.diagnose_failed", why=message.words), "error")
        else:
            super().on_job_failed(message)

    def on_diagnosis_started(self, message: DiagnosisStarted) -> None:
        """Follow it."""
        self._work.follow(message.run, message.process)
        self.ask_app(FollowCommand(message.process))

    def on_diagnosis_polled(self, message: DiagnosisPolled) -> None:
        """Another screen is in view; how it ended is said there too."""
        self._work.watch(message.run, message.process)

    def _show(self, seen: Seen) -> None:
        changed = self._seen is None or self._seen.run != seen.run
        self._seen = seen
        if changed:
            self.query_one("#classes-table").scroll_home(animate=False)
        self._work.watch(seen.run, seen.going_on)
        self._draw()
        snapshot = self.snapshot
        asked = self._runs.shown(snapshot), self._runs.other(snapshot), self._number
        given = [Path(one.path) if one else None for one in asked[:2]]
        behind = given != [seen.run, seen.other] or (
            seen.samples and asked[2] % len(seen.samples) != seen.number
        )
        if behind:  # a key was pressed while it was read
            self.call_later(self.update_snapshot, snapshot)

    def _draw(self) -> None:
        seen = self._seen
        if seen is None or not self.ready or self.has_class("-empty"):
            return
        table = seen.table if isinstance(seen.table, ClassTable) else None
        self._put("#classes-head", self._head(seen, table))
        self.query_one("#classes-rows").display = table is not None
        self._put("#classes-rows", self._rows(seen, table) if table else Text())
        self._put("#classes-verdict", self._verdict(seen, table))
        self._draw_pictures(seen)

    def _put(self, name: str, text: Text) -> None:
        static = self.query_one(name, Static)
        if static.content != text:  # an idle screen costs nothing
            static.update(text)

    def _head(self, seen: Seen, table: ClassTable | None) -> Text:
        if table is not None:
            return heading(seen.run, seen.other, table)
        head = Text(f"{seen.run.name}  ", "bold")
        return head.append(str(seen.table) or tr("classes.no_evaluation_yet"), "dim")

    def _rows(self, seen: Seen, table: ClassTable) -> Text:
        shares = seen.diagnosis.shares if seen.diagnosis else {}
        look = TableLook(self.size.width, seen.other is not None, shares, not self.app.no_color)
        return class_rows(self._ordered(table), look)

    def _verdict(self, seen: Seen, table: ClassTable | None) -> Text:
        text, diagnosed = Text(), self._work.run
        if diagnosed is not None:
            text.append(f"● {tr('classes.diagnosing', run=diagnosed.name)}", "bold green")
            text.append(f"  {duration(self._work.seconds)}  {self._work.last_line}\n", "dim")
        can = not self.read_only
        return text.append_text(verdict(seen.diagnosis, seen.run, table, can=can))

    def _draw_pictures(self, seen: Seen) -> None:
        line, view = self.query_one("#classes-sample", Static), self.query_one("#classes-view", SampleView)
        view.display = seen.loaded is not None
        if seen.loaded is None:
            line.update(Text(tr("classes.no_pictures"), "dim"))
            return
        line.update(sample_line(seen.loaded.sample, seen.number, len(seen.samples), seen.run))
        loaded = seen.loaded
        self.call_after_refresh(view.show, loaded, self.graphics)

    def _ordered(self, table: ClassTable) -> list[ClassScore]:
        if not self._worst_first:
            return list(table.classes)
        return sorted(table.classes, key=lambda one: (one.iou is None, one.iou or 0.0))

    # keys ----------------------------------------------------------------------------------------

    def action_pictures(self) -> None:
        """Pictures alone, or the table again."""
        self.toggle_class("-pictures")
        self.call_after_refresh(self._draw)

    def action_sample(self, by: int) -> None:
        """Another sample."""
        if self._seen is not None and self._seen.samples:
            self._number = (self._number + by) % len(self._seen.samples)
            self.update_snapshot(self.snapshot)

    def action_order(self) -> None:
        """Class order or worst first."""
        self._worst_first = not self._worst_first
        self._draw()

    def action_compare(self) -> None:
        """Another run next to it, then none."""
        self._runs.next_other(self.snapshot)
        self.update_snapshot(self.snapshot)

    def action_other_run(self) -> None:
        """The table of another run."""
        self._runs.next_run(self.snapshot)
        self._number = 0
        self.update_snapshot(self.snapshot)

    def action_diagnose(self) -> None:
        """Diagnose the run shown, after a question."""
        self._work.ask(self._runs.shown(self.snapshot))

    def action_fix(self) -> None:
        """The commands that the diagnosis advises."""
        diagnosis = self._seen.diagnosis if self._seen is not None else None
        if diagnosis is None or diagnosis.action is None:
            self.say(tr("classes.no_advice"))
            return
        advice = Fix(FixKind.COPY, plain(diagnosis.action[language()]))
        fixes = (*tools_named(diagnosis.action.en, self.snapshot), advice)
        title = plain(diagnosis.title[language()])
        choose_fix(self.app, title, fixes, read_only=self.read_only)

    def action_scroll_page(self, direction: int) -> None:
        """What does not fit."""
        self.query_one("#classes-table").scroll_relative(y=2 * direction, animate=False)

    def copy_text(self) -> str | None:
        """The path of the picture where pictures are shown alone, else the table and the verdict."""
        if self.has_class("-pictures") and self._seen is not None and self._seen.loaded is not None:
            return str(self._seen.loaded.sample.path)
        parts = [
            str(self.query_one(f"#classes-{name}", Static).content) for name in ("head", "rows", "verdict")
        ]
        return "\n".join(part for part in parts if part)
