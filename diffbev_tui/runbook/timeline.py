"""The runbook as one line: each phase with the time it took or still takes, and when all is done."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from diffbev_engine.core.format import UNKNOWN, percent
from diffbev_engine.runbook.present import STATE_WORDS
from diffbev_engine.runbook.record import GLYPHS, StepState
from diffbev_engine.runbook.timeline import PhaseTime, TimeLeft, Timeline
from diffbev_engine.runbook.view import DONE
from diffbev_tui.format import bar, clock, duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import TONES, Line, Piece, width_of
from diffbev_tui.runbook.rows import FINAL, short_time

_BETWEEN: Piece = (" │ ", "dim")


@dataclass(frozen=True)
class _Form:
    """How much a line says."""

    words: Literal["all", "current", "none"] = "none"
    """Which phases have the word of their state next to its glyph."""
    merged: bool = True
    """Whether neighbours that are done, or pending, are one."""
    bar: int = 10
    only_current: bool = False
    """Only current phases: neither done nor pending."""


_FORMS = (
    _Form("all", merged=False),
    _Form("current", merged=False),
    _Form("none", merged=False),
    _Form("all"),
    _Form("current"),
    _Form("none"),
    _Form("none", bar=5),
    _Form("none", bar=0),
    _Form("none", bar=5, only_current=True),
    _Form("none", bar=0, only_current=True),
)


def timeline_line(times: Timeline | None, width: int, now: float) -> Line:
    """As much as ``width`` cells hold; the total comes last."""
    if times is None:
        return ()
    phases = [phase for phase in times.phases if phase.phase.id != FINAL]
    room = width - cell_len(_total(times, now)) - 3
    lines = (_line(phases, form) for form in _FORMS)
    line = next((line for line in lines if width_of(line) <= room), ())
    return with_total(line, times, width, now)


def with_total(line: Line, times: Timeline, width: int, now: float) -> Line:
    """A line with the total at its end, where that fits."""
    total = _total(times, now)
    blank = width - width_of(line) - cell_len(total) - 1
    return (*line, (" " * blank + total, "")) if blank > 1 else line


def _total(times: Timeline, now: float) -> str:
    """When all is done where a training makes progress, else how long the rest takes; "" if unknown."""
    if times.ends is not None:
        return tr("runbook.all_done_by", clock=clock(times.ends, now))
    if times.left == TimeLeft():
        return tr("runbook.all_took", took=duration(times.took_s)) if times.took_s is not None else ""
    left = times.left_words(language())
    return tr("runbook.time_left", left=left) if left else ""


def _line(phases: list[PhaseTime], form: _Form) -> Line:
    pieces: list[Piece] = []
    for group in _groups(phases, form):
        pieces += [_BETWEEN, *_group(group, form)]
    return ((" ", ""), *pieces[1:])


def _groups(phases: list[PhaseTime], form: _Form) -> Iterator[list[PhaseTime]]:
    """Phases that are shown as one."""
    group: list[PhaseTime] = []
    for phase in phases:
        if form.only_current and _kind(phase):
            continue
        alike = group and form.merged and _kind(group[-1]) == _kind(phase) != ""
        if group and not alike:
            yield group
            group = []
        group.append(phase)
    if group:
        yield group


def _kind(phase: PhaseTime) -> str:
    """What phases have in common that can be shown as one; "" of one that is current."""
    return "done" if phase.state in DONE else "pending" if phase.state is StepState.PENDING else ""


def _group(group: list[PhaseTime], form: _Form) -> list[Piece]:
    first, last = group[0], group[-1]
    state = StepState.PASSED if any(one.state is StepState.PASSED for one in group) else first.state
    glyph, word = GLYPHS[state], STATE_WORDS[state][language()]
    tone = TONES[state]
    if first.stalled:
        glyph, word, tone = "!", tr("app.state_stalled"), "bad"
    name = first.phase.id if first is last else f"{first.phase.id}–{last.phase.id}"
    named = form.words == "all" or (form.words == "current" and not _kind(first)) or first.stalled
    head = f"{glyph} {name}" + (f" {word}" if named else "")
    time = _time(group)
    pieces: list[Piece] = [(head, tone)]
    if first.share is not None:
        pieces.append((f" {percent(first.share)}", ""))
        pieces.append((f" {bar(first.share, form.bar)}" if form.bar else "", tone))
    return [*pieces, (f" {time}" if time else "", "dim")]


def _time(group: list[PhaseTime]) -> str:
    """Taken, of what is done; left, of anything else."""
    if _kind(group[0]) == "done":
        known = [one.took_s for one in group if one.took_s is not None]
        return short_time(sum(known)) if len(known) == len(group) else UNKNOWN
    left = sum((one.left for one in group), TimeLeft()).words(language())
    return left if left == UNKNOWN or _kind(group[0]) else tr("runbook.time_left", left=left)
