"""The runbook as rows of a list: phases, steps and problems with their state in glyph and word."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from diffbev_engine.core.format import percent
from diffbev_engine.findings.finding import Certainty, Finding
from diffbev_engine.runbook.model import Phase, Problem
from diffbev_engine.runbook.present import STATE_WORDS
from diffbev_engine.runbook.record import GLYPHS, StepRecord, StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import DONE, RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import bar, duration
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import TONES, Piece, Row, Tone, ago, cut, fit, say
from diffbev_tui.run_state import run_state
from diffbev_tui.snapshot import Snapshot

FINAL = "final"
PROBLEMS = "problems"
PROBLEM = "!"
"""What keys of problems begin with: steps may have the same ids."""
_WIDE = 84
_TOOK, _AGE = 10, 17
"""Cells of these columns, at least."""
_LONGEST_ID = 7


@dataclass(frozen=True)
class StepLine:
    """What a row shows of a step or a problem, before it is laid out."""

    key: str
    glyph: str
    word: str
    tone: Tone
    id: str
    title: str
    note: str = ""
    note_tone: Tone = "dim"
    took: str = ""
    age: str = ""


def glyph_and_word(state: StepState) -> str:
    """``✓ passed``."""
    return f"{GLYPHS[state]} {STATE_WORDS[state][language()]}"


def count_words(view: RunbookView, phase: Phase) -> str:
    """``5 of 7, 1 running``."""
    steps = view.of_phase(phase)
    done = sum(one.state in DONE for one in steps)
    words = [tr("runbook.done_of", done=done, total=len(steps))]
    for state in (StepState.RUNNING, StepState.FAILED, StepState.STALE):
        count = sum(one.state is state for one in steps)
        if count:
            words.append(f"{count} {STATE_WORDS[state][language()]}")
    return ("，" if language() == "zh" else ", ").join(words)


def phase_rows(
    view: RunbookView, findings: Sequence[Finding] | None, final: tuple[int, int] | None, width: int
) -> list[Row]:
    """The list on the left: phases, then the known problems and the final checklist.

    Args:
        view: the runbook as it stands.
        findings: known problems that match; ``None`` while that is not known.
        final: how many criteria of the final checklist hold, of how many.
        width: cells of a row.
    """
    rows: list[Row] = []
    last: list[Row] = []
    for phase in view.runbook.phases:
        state = view.phase_state(phase)
        steps = view.of_phase(phase)
        done, total = sum(one.state in DONE for one in steps), len(steps)
        if phase.id == FINAL and final:
            done, total = final
        name = "" if phase.id == FINAL else f"{phase.id} "
        row = _phase_row(phase.id, GLYPHS[state], TONES[state], name + say(phase.title, None),
                         f"{done}/{total}", width)  # fmt: skip
        (last if phase.id == FINAL else rows).append(row)
    matches = matching(findings)
    words = "–" if findings is None else tr("runbook.matches", count=matches)
    problems = _phase_row(PROBLEMS, "!" if matches else " ", "warn" if matches else "dim",
                          tr("runbook.problems"), words, width)  # fmt: skip
    return [*rows, Row("", (("─" * width, "dim"),)), problems, *last]


def _phase_row(key: str, glyph: str, tone: Tone, title: str, count: str, width: int) -> Row:
    room = width - 3 - cell_len(count) - 1
    return Row(key, ((f"{glyph} ", tone), (fit(title, room) + " ", ""), (count + " ", "dim")))


def tab_pieces(view: RunbookView, findings: Sequence[Finding] | None) -> list[tuple[str, Piece]]:
    """The phases as one line: ``✓0 ✓1 ●4 ○5 ! problems  ○ checklist``, each with its key."""
    tabs: list[tuple[str, Piece]] = []
    for phase in view.runbook.phases:
        state = view.phase_state(phase)
        if phase.id != FINAL:
            tabs.append((phase.id, (f" {GLYPHS[state]}{phase.id} ", TONES[state])))
    matches = matching(findings)
    words = f" {'!' if matches else ' '}{tr('runbook.tab_problems')} "
    tabs.append((PROBLEMS, (words, "warn" if matches else "dim")))
    for phase in view.runbook.phases:
        if phase.id == FINAL:
            state = view.phase_state(phase)
            tabs.append((FINAL, (f" {GLYPHS[state]}{tr('runbook.tab_final')} ", TONES[state])))
    return tabs


def matching(findings: Sequence[Finding] | None) -> int:
    """How many problems match: not those that are only true of the machine."""
    return sum(finding.certainty is Certainty.SHOWN for finding in findings or ())


def step_line(
    one: StepView, snapshot: Snapshot, *, starting: bool, stopping: bool, output: Sequence[str] = ()
) -> StepLine:
    """What the row of a step says; of one that runs, how far it is or the last line of its ``output``."""
    assert snapshot.roots is not None
    step, record, state, roots = one.step, one.record, one.state, snapshot.roots
    if starting and state is not StepState.RUNNING:
        state = StepState.RUNNING
        note, tone = tr("runbook.starting"), TONES[state]
    elif state is StepState.RUNNING:
        note, tone = (tr("runbook.stopping") if stopping else _progress(one, snapshot, output)), TONES[state]
    elif state in (StepState.FAILED, StepState.STALE):
        note, tone = (say(record.reason, roots) if record.reason else ""), TONES[state]
    elif state is StepState.SKIPPED:
        note, tone = (say(record.reason, roots) if record.reason else ""), "dim"
    elif state is StepState.PASSED:
        note, tone = evidence(record), "dim"
    else:
        waits = ", ".join(one.waits_for)
        note, tone = (tr("runbook.waits_for", steps=waits) if waits else ""), "dim"
    took = age = ""
    if state is StepState.RUNNING and record.started:
        took = duration(snapshot.taken - record.started)
    elif state is not StepState.PENDING and record.finished:
        took = short_time(record.seconds)
        age = ago(record.finished, snapshot.taken)
    word = STATE_WORDS[state][language()]
    title = say(step.title, roots)
    return StepLine(step.id, GLYPHS[state], word, TONES[state], step.id, title, note, tone, took, age)


def evidence(record: StepRecord) -> str:
    """The most telling thing that the checks of a step saw."""
    if record.adopted:
        return say(record.reason, None) if record.reason else ""
    seen = [check.detail for check in record.checks if check.detail]
    told = [say(detail, None) for detail in seen if not detail.en.startswith("exit code ")]
    return told[-1] if told else ""


def short_time(seconds: float | None) -> str:
    """Like ``duration``, with tenths below ten seconds; "" when unknown."""
    return "" if seconds is None else duration(seconds, tenths=True)


def problem_line(problem: Problem, finding: Finding | None, roots: WorkspacePaths) -> StepLine:
    """What the row of a known problem says."""
    title = say(problem.title, roots)
    name = problem.id if len(problem.id) <= 2 else ""
    if finding is None:
        return StepLine(PROBLEM + problem.id, " ", tr("runbook.no_match"), "dim", name, title)
    sure = finding.certainty is Certainty.SHOWN
    word = tr("runbook.match") if sure else tr("runbook.possible")
    note = say(finding.evidence[0], roots) if finding.evidence else ""
    glyph, tone = ("!", "warn") if sure else ("?", "dim")
    return StepLine(PROBLEM + problem.id, glyph, word, tone, name, title, note, tone)  # type: ignore[arg-type]


def lay_out(lines: Sequence[StepLine], width: int) -> list[Row]:
    """Rows of ``width`` cells with their columns in line."""
    if not lines:
        return []
    word = max(cell_len(line.word) for line in lines)
    ids = min(max(max(cell_len(line.id) for line in lines), 3), _LONGEST_ID)
    room = width - 2 - word - 1 - ids - 1
    times = width >= _WIDE and any(line.took or line.age for line in lines)
    took_width = max(_TOOK, *(cell_len(line.took) + 2 for line in lines))
    room -= took_width + _AGE if times else 0
    longest = max(cell_len(line.title) for line in lines)
    notes = [_note(line, times) for line in lines]
    title = max(min(longest, room - min(max(map(cell_len, notes)) + 2, room * 2 // 5)), 8)
    rows = []
    for line, note in zip(lines, notes, strict=True):
        head: list[Piece] = [
            (f"{line.glyph} ", line.tone),
            (fit(line.word, word) + " ", line.tone),
            (fit(line.id, ids) + " ", "dim"),
        ]
        if note:
            shown = _shortened(note, room - title - 2)
            head += [(fit(line.title, title) + "  ", ""), (shown, line.note_tone)]
        else:
            head.append((fit(line.title, room), ""))
        if times:
            head += [(_right(line.took, took_width), "dim"), (_right(line.age, _AGE), "dim")]
        rows.append(Row(line.key, tuple(head)))
    return rows


def _note(line: StepLine, times: bool) -> str:
    """Without columns for them, times take the place of what a step that passed has shown."""
    of_times = not times and line.age and line.tone == "good"
    return f"{line.took}  {line.age}".strip() if of_times else line.note


def _shortened(note: str, width: int) -> str:
    """A note in ``width`` cells; of parts with two blanks between them, the last ones give way."""
    while cell_len(note) > width and "  " in note:
        note = note.rpartition("  ")[0].rstrip()
    return fit(note, width)


def _right(text: str, width: int) -> str:
    return " " * max(width - cell_len(text), 0) + cut(text, width)


def _progress(one: StepView, snapshot: Snapshot, output: Sequence[str]) -> str:
    """How far a run is, where its run says so."""
    assert snapshot.roots is not None
    run = run_of(one.step, snapshot.roots, snapshot.runs)
    if run is None or run.state is not RunCondition.RUNNING or run.step is None or not run.max_iters:
        return next((line.strip() for line in reversed(output) if line.strip()), "")
    share = run.step / run.max_iters
    return f"{run_state(run)}  {percent(share)}" if run.stalled else f"{percent(share)}  {bar(share)}"
