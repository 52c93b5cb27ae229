"""The words of the Classes screen: heading, table, verdict, and what the pictures are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from diffbev_engine.core.classes import CLASS_COLOURS, CLASSES
from diffbev_engine.core.format import UNKNOWN, points
from diffbev_tui.classes.diagnosis import ClassShare, Diagnosis
from diffbev_tui.classes.samples import Sample
from diffbev_tui.classes.state import ClassScore, ClassTable
from diffbev_tui.format import age, bar, left, right
from diffbev_tui.i18n import language, tr

_STEPS = "▁▂▃▄▅▆▇█"
_NAME = max(map(len, CLASSES))
_TREND = 12
_COLOURS = dict(zip(CLASSES, CLASS_COLOURS, strict=True))


@dataclass(frozen=True)
class TableLook:
    """Which columns a table has."""

    width: int
    compared: bool
    shares: dict[str, ClassShare]
    coloured: bool = True
    """Without colour, which NO_COLOR makes grey, the sign of a change has to be enough."""

    @property
    def roomy(self) -> bool:
        """Whether there is room for whole words."""
        return self.width >= 118

    @property
    def bar(self) -> bool:
        """Whether there is room for it."""
        return self.width >= 90 or not (self.compared and self.shares)

    @property
    def trend(self) -> bool:
        """Whether there is room for it."""
        return self.width >= 98


def heading(run: Path, other: Path | None, table: ClassTable) -> Text:
    """``diffbev_default @ 40,000   mIoU 21.4  +1.8 since 20,000   best …   vs …``."""
    text = Text(f"{run.name} @ {table.step:,}", "bold")
    text.append(f"   mIoU {points(table.miou.iou)}", "bold")
    if table.miou.change is not None and table.before is not None:
        text.append(f"  {points(table.miou.change, signed=True)} ", _colour(table.miou.change))
        text.append(tr("classes.since", step=f"{table.before:,}"), "dim")
    if table.best is not None and table.best[0] == table.step:
        text.append(f"  {tr('classes.best_so_far')}", "dim")
    elif table.best is not None:
        words = tr("classes.best", miou=points(table.best[1]), step=f"{table.best[0]:,}")
        text.append(f"   {words}", "dim")
    if other is not None:
        words = other.name
        if table.against_step:
            words += f" @ {table.against_step:,} {points(table.miou.against, signed=True)}"
        else:
            words += f" ({tr('classes.no_evaluation')})"
        text.append(f"   {tr('classes.against', run=words)}", "dim")
    return text


def class_rows(scores: Sequence[ClassScore], look: TableLook) -> Text:
    """One line per class below the names of the columns."""
    text = Text()
    head = "  " + left(tr("classes.class_"), _NAME) + right("IoU", 7)
    head += (" " * 13 if look.bar else " ") + right("Δ", 6)
    head += right(tr("classes.vs"), 8) if look.compared else ""
    head += "  " + left(tr("classes.trend"), _TREND) if look.trend else ""
    if look.shares:
        head += "  " + right(tr("classes.truth"), 6) + " / "
        head += tr("classes.predicted") if look.roomy else tr("classes.predicted_short")
    text.append(head + "\n", "dim")
    for number, one in enumerate(scores):
        _append_class(text, one, look)
        text.append("\n" if number + 1 < len(scores) else "")
    return text


def _append_class(text: Text, one: ClassScore, look: TableLook) -> None:
    text.append("▮ " if look.coloured else "  ", _COLOURS[one.name])
    text.append(left(one.name, _NAME), "" if one.iou is not None else "dim")
    if one.iou is None:
        text.append(f"{UNKNOWN:>7}  {tr('classes.absent')}", "dim")
        return
    text.append(f"{points(one.iou):>7} ", "bold")
    if look.bar:
        text.append(f" {bar(one.iou):<11}", "cyan")
    text.append(f"{points(one.change, signed=True):>6}", _colour(one.change) if look.coloured else "")
    if look.compared:
        text.append(f"{points(one.against, signed=True):>8}", _colour(one.against) if look.coloured else "")
    if look.trend:
        text.append(f"  {_spark(one.trend):<{_TREND}}", "dim")
    share = look.shares.get(one.name)
    if share is not None:
        text.append(f"  {_share(share.truth):>6} / {_share(share.predicted):<6}")
        _append_mark(text, share, look)


def _append_mark(text: Text, share: ClassShare, look: TableLook) -> None:
    size = "" if look.roomy else "_short"
    if share.never_predicted:
        text.append(f" {tr('classes.never' + size)}", "bold yellow")
    if share.rare and (look.roomy or not share.never_predicted):
        text.append(f" {tr('classes.rare' + size, cells=f'{share.cells:,}')}", "dim")


def verdict(diagnosis: Diagnosis | None, run: Path, table: ClassTable | None, *, can: bool) -> Text:
    """What ``diagnose`` found, of which checkpoint, and whether that is still what is shown above.

    Args:
        diagnosis: the newest.
        run: the run shown.
        table: its evaluations.
        can: whether a diagnosis can be started from here.
    """
    text = Text(tr("classes.verdict") + " ", "bold")
    if diagnosis is None:
        return text.append(tr("classes.no_verdict" if can else "classes.no_verdict_read_only"), "dim")
    text.append("✓ " if diagnosis.healthy else "! ", "green" if diagnosis.healthy else "bold yellow")
    text.append(diagnosis.title[language()], "bold")
    text.append(f"   {_source(diagnosis)}\n", "dim")
    for note in _doubts(diagnosis, run, table):
        text.append(f"  {note}\n", "yellow")
    if diagnosis.action is not None:
        text.append(f"  → {diagnosis.action[language()]}\n")
    for line in diagnosis.evidence:
        text.append(f"  {line[language()]}\n", "dim")
    for also in diagnosis.further:
        text.append(f"  {tr('classes.also')} {also[language()]}\n")
    text.rstrip()
    return text


def _source(diagnosis: Diagnosis) -> str:
    parts = []
    if diagnosis.checkpoint is not None:
        parts.append(f"{diagnosis.checkpoint.parent.name}/{diagnosis.checkpoint.name}")
    if diagnosis.iteration is not None:
        parts[-1:] = [f"{''.join(parts[-1:])} @ {diagnosis.iteration:,}"]
    if diagnosis.images is not None and diagnosis.split_images is not None:
        parts.append(tr("classes.images", images=diagnosis.images, split=f"{diagnosis.split_images:,}"))
    parts.append(_age(diagnosis.written))
    return "  ".join(parts)


def _doubts(diagnosis: Diagnosis, run: Path, table: ClassTable | None) -> list[str]:
    """Why verdict and shares may not be of what the table shows."""
    if diagnosis.run != run:
        where = diagnosis.run.name if diagnosis.run else UNKNOWN
        return [tr("classes.of_another_run", run=where, shown=run.name)]
    if diagnosis.overwritten and diagnosis.checkpoint is not None:
        return [tr("classes.overwritten", checkpoint=diagnosis.checkpoint.name)]
    if diagnosis.iteration is None:
        return [tr("classes.unknown_step")]
    if table is not None and diagnosis.iteration != table.step:
        words = {"step": f"{diagnosis.iteration:,}", "newest": f"{table.step:,}"}
        return [tr("classes.of_another_step", **words)]
    return []


def sample_line(sample: Sample, number: int, count: int, run: Path) -> Text:
    """``2/6  CAM_FRONT scene-0003   of another run   runs/…/sample_0010.png   12 m ago``."""
    text = Text()
    text.append(tr("classes.sample", number=number + 1, count=count), "bold")
    text.append(f"  {sample.place}   " if sample.place else "   ")
    if sample.predictions and not sample.shows(run):
        text.append(f"{tr('classes.picture_of_others', run=run.name)}   ", "yellow")
    if not sample.predictions:
        text.append(f"{tr('classes.picture_silent')}   ", "dim")
    text.append("/".join(sample.path.parts[-3:]) + "   " + _age(sample.written), "dim")
    return text


def _share(value: float | None) -> str:
    """A share in percent, short, but never 0 for what is more."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    percent = 100 * value
    digits = 1 if percent >= 10 else 2 if percent >= 0.1 else 3
    return f"{percent:.{digits}f}" if percent >= 0.001 else "<.001"


def _age(written: float) -> str:
    return tr("classes.ago", age=age(time.time() - written))


def _colour(value: float | None) -> str:
    if value is None or abs(value) < 5e-4:
        return "dim"
    return "green" if value > 0 else "red"


def _spark(values: tuple[float, ...]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(_STEPS[round((value - low) / span * (len(_STEPS) - 1))] for value in values)
