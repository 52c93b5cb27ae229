"""The chosen run below the table, in words. No Textual."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import UNKNOWN, mib_size, points
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_tui.format import age, duration, spark
from diffbev_tui.i18n import tr
from diffbev_tui.run_book import BookPage
from diffbev_tui.runs.state import differences

_SPARK = 32
_LONGEST = 20_000_000
"""Bytes of a metrics.csv that is read for its course."""


@dataclass(frozen=True)
class Course:
    """How the losses and scores of a run went."""

    run: str
    loss: tuple[float, ...] = ()
    miou: tuple[float, ...] = ()


def read_course(run: str) -> Course:
    """Read it; to be called from a thread."""
    try:
        metrics = read_metrics(RunFolder(Path(run)).metrics, _LONGEST, columns=("loss", "mIoU"))
    except (DiffBEVError, OSError, ValueError):
        return Course(run)
    return Course(run, tuple(metrics.series("loss").values), tuple(metrics.series("mIoU").values))


def detail(run: RunReport, book: BookPage, course: Course | None, now: float, names: dict[str, str]) -> Text:
    """What distinguishes a run, how it goes, and why it ended."""
    text, labels = Text(), book.labels(run.path)
    name = f"{labels.letter} {names.get(run.path, Path(run.path).name)}".strip()
    text.append(f" {plain(name)}  ", "bold")
    if book.pinned and book.pinned != run.path:
        against = names.get(book.pinned, Path(book.pinned).name)
        found, more = differences(run.path, book.pinned, book)
        words = " · ".join(found) or tr("runs.same_settings")
        words += f" · {tr('runs.more_settings', count=more)}" if more else ""
        text.append(tr("runs.against", run=plain(against)), "dim")
        text.append(f"  {words}")
    else:
        text.append(tr("runs.is_pinned" if book.pinned else "runs.pin_hint"), "dim")
    text.append("\n ")
    _append_course(text, course if course and course.run == run.path else None)
    text.append("   ".join(_facts(run, now)))
    if run.reason:
        text.append(f"\n {run.reason}", "bold")
    if labels.note:
        text.append(f"\n {tr('runs.note', note=plain(labels.note))}")
    return text


def _append_course(text: Text, course: Course | None) -> None:
    for title, values in (("loss", course.loss), ("mIoU", course.miou)) if course else ():
        if values:
            text.append(f"{title} ", "dim")
            text.append(f"{spark(values, _SPARK)}   ")


def _facts(run: RunReport, now: float) -> Sequence[str]:
    facts = []
    if run.last_miou is not None:
        facts.append(tr("runs.last", value=points(run.last_miou)))
    if run.it_per_s is not None:
        facts.append(f"{run.it_per_s:.3g} it/s")
    if run.status and run.status.gpu_mem_mb:
        facts.append(tr("runs.peak", size=mib_size(run.status.gpu_mem_mb)))
    facts.append(
        tr("runs.checkpoint", name=run.last_checkpoint) if run.last_checkpoint else tr("runs.unsaved")
    )
    if run.state is RunCondition.RUNNING:
        facts.append(tr("runs.eta", left=duration(run.eta_s)) if run.eta_s is not None else tr("runs.no_eta"))
        facts.append(tr("runs.progress", age=age(run.age_s)) if run.age_s is not None else UNKNOWN)
    elif run.ended:
        facts.append(tr("runs.ended", age=age(now - run.ended)))
    return facts
