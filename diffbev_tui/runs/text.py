"""The chosen run below the table, in words. No Textual."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import UNKNOWN, mib_size
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.slurm import job_name
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import age, duration, spark
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import Line, flow
from diffbev_tui.run_book import BookPage
from diffbev_tui.run_state import why_not_well
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


def detail(
    run: RunReport,
    book: BookPage,
    course: Course | None,
    now: float,
    names: dict[str, str],
    hidden: Sequence[str],
    width: int,
) -> Text:
    """What distinguishes a run, how it goes, and why it ended.

    Args:
        run: the chosen one.
        book: labels and settings of all runs.
        course: of a run, maybe of another one.
        now: time of the report.
        names: of all runs, by path.
        hidden: what columns would say for which the table has no room.
        width: of a row, in cells.
    """
    labels = book.labels(run.path)
    name = f"{labels.letter} {names.get(run.path, Path(run.path).name)}".strip()
    parts = [flow([((plain(name), "bold"),), *_compared(run, book, names)], width)]
    facts: list[Line] = [((fact, ""),) for fact in (*hidden, *_facts(run, now))]
    parts.append(flow([*_course(course if course and course.run == run.path else None), *facts], width))
    if run.reason and (why := why_not_well(run)):
        parts.append(flow([((why, "bold"),)], width))
    if labels.note:
        parts.append(flow([((tr("runs.note", note=plain(labels.note)), ""),)], width))
    rows = [Text.assemble(*line) for part in parts for line in part]
    return Text("\n").join(rows)


def _compared(run: RunReport, book: BookPage, names: dict[str, str]) -> Sequence[Line]:
    """Settings in which it differs from the pinned run."""
    if not book.pinned or book.pinned == run.path:
        return [((tr("runs.is_pinned" if book.pinned else "runs.pin_hint"), "dim"),)]
    found, more = differences(run.path, book.pinned, book)
    found += [tr("runs.more_settings", count=more)] if more else []
    words = [f"{one}{' ·' if one is not found[-1] else ''}" for one in found] or [tr("runs.same_settings")]
    against = tr("runs.against", run=plain(names.get(book.pinned, Path(book.pinned).name)))
    return [((against, "dim"),), *(((one, ""),) for one in words)]


def _course(course: Course | None) -> Sequence[Line]:
    both = (("loss", course.loss), ("mIoU", course.miou)) if course else ()
    return [((f"{title} ", "dim"), (spark(values, _SPARK), "")) for title, values in both if values]


def _facts(run: RunReport, now: float) -> Sequence[str]:
    facts = []
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
    if run.slurm_job:
        facts.append((run.slurm or job_name(run.slurm_job))[language()])
    return facts
