"""The one line that answers what to do next."""

from collections.abc import Sequence

from rich.cells import cell_len

from diffbev_engine.core.format import percent, progress
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import DONE, StepView
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import Line, Tone, cut, say, width_of
from diffbev_tui.run_state import run_state
from diffbev_tui.snapshot import Snapshot

_LEAST_TITLE = 5


def next_line(
    snapshot: Snapshot,
    starting: Sequence[str] = (),
    chosen: str = "",
    width: int = 400,
) -> Line:
    """What to do now: wait, fix, run, or read the report.

    Args:
        snapshot: the newest.
        starting: steps that were started and have not said so themselves yet.
        chosen: the step that keys act on.
        width: cells of the line; a long title gives way to what follows it where that is enough.
    """
    view = snapshot.view
    if view is None or snapshot.roots is None:
        if snapshot.trouble:
            return (_head("bad"), (f"✗ {snapshot.trouble[0]}", "bad"))
        return (_head("dim"), (tr("runbook.reading"), "dim"))
    one = view.next
    if starting and (one is None or one.state is not StepState.RUNNING):
        return (_head("accent"), (tr("runbook.next_starting", steps=", ".join(starting[:3])), ""))
    if one is None:
        return (_head("good"), (tr("runbook.next_done"), ""))
    title = say(one.step.title, snapshot.roots)
    words, tone = _words(one, snapshot, title)
    over = width_of((_head(tone), (words, tone))) - width
    if 0 < over <= cell_len(title) - _LEAST_TITLE:
        words, tone = _words(one, snapshot, cut(title, cell_len(title) - over))
    rest = sum(other.state is StepState.FAILED for other in view.steps if other is not one)
    more: Line = ((f"   {tr('runbook.next_failed_too', count=rest)}", "bad"),) if rest else ()
    key = "runbook.next_elsewhere" if one.step.id != chosen else f"runbook.next_here_{one.state.value}"
    line: Line = (_head(tone), (words, ""), (f"   {tr(key)}", "dim"), *more)
    while len(line) > 2 and width_of(line) > width:
        line = line[:-1]
    return line


def next_step(snapshot: Snapshot) -> str:
    """The step that the line is about; "" when there is none."""
    one = snapshot.view.next if snapshot.view else None
    return one.step.id if one else ""


def wait_words(run: RunReport | None, since: float | None, now: float) -> str:
    """``41,350/200,000, 20.7 %, ETA 5 h 48 m``, or how long it has been in progress."""
    if run is None or run.state is not RunCondition.RUNNING or run.step is None or not run.max_iters:
        return tr("runbook.since", took=duration(now - since if since else None))
    parts = [progress(run.step, run.max_iters), percent(run.step / run.max_iters)]
    parts.append(run_state(run) if run.stalled else tr("runbook.eta", eta=duration(run.eta_s)))
    return "  ".join(parts)


def _words(one: StepView, snapshot: Snapshot, title: str) -> tuple[str, Tone]:
    roots = snapshot.roots
    assert roots is not None
    named = {"step": one.step.id, "title": title}
    run = run_of(one.step, roots, snapshot.runs)
    outside = run is not None and run.state is RunCondition.RUNNING
    if one.state is StepState.RUNNING or (outside and one.state not in DONE):
        progress = wait_words(run, one.record.started, snapshot.taken)
        return tr("runbook.next_wait", **named, progress=progress), "accent"
    reason = say(one.record.reason, roots) if one.record.reason else ""
    if one.state is StepState.FAILED and not one.record.interrupted:
        return tr("runbook.next_failed", **named, reason=reason) + _fix(one, snapshot), "bad"
    if one.state in (StepState.STALE, StepState.FAILED):
        return tr("runbook.next_stale", **named, reason=reason), "warn"
    return tr("runbook.next_run", **named), "accent"


def _fix(one: StepView, snapshot: Snapshot) -> str:
    name = one.record.problem or ""
    problem = snapshot.view.runbook.problem(name) if snapshot.view and name else None
    if problem is not None:
        return "  " + tr("runbook.next_problem", title=say(problem.title, snapshot.roots))
    return "  " + tr("runbook.next_fix" if one.step.fix else "runbook.next_details")


def _head(tone: Tone) -> tuple[str, Tone]:
    return f" {tr('runbook.next')}" + ("" if language() == "zh" else " "), tone
