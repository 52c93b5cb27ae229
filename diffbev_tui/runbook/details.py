"""Everything about one step or one known problem, as labelled blocks for the width available."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len

from diffbev_engine.findings.finding import Certainty, Finding, Remedy
from diffbev_engine.runbook.checks.check import CheckResult
from diffbev_engine.runbook.model import Problem, Step
from diffbev_engine.runbook.present import filled
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.format import age, duration
from diffbev_tui.i18n import tr
from diffbev_tui.lines import TONES, Line, Piece, Tone, ago, cut, fit, say, wrap
from diffbev_tui.runbook.next_step import wait_words
from diffbev_tui.runbook.rows import glyph_and_word, short_time
from diffbev_tui.snapshot import Snapshot

_MARKS: dict[bool | None, tuple[str, Tone]] = {True: ("✓", "good"), False: ("✗", "bad"), None: ("○", "dim")}
_LEAST_TAIL = 6


@dataclass(frozen=True)
class Block:
    """A label and what belongs to it; each piece of text is wrapped on its own."""

    label: str
    rows: tuple[Piece, ...]
    cut: bool = False
    """Cut long rows instead of wrapping them: output of programs."""
    tail: bool = False
    """Show only as many of the last rows as there is room for."""


@dataclass(frozen=True)
class Known:
    """Results of checks that are not part of the snapshot."""

    checks: tuple[CheckResult, ...] = ()
    """Of a check without running anything."""
    checked: float | None = None
    """When."""
    findings: tuple[Finding, ...] = ()
    """Known problems that match the failure of the step."""
    output: tuple[str, ...] = field(default=())
    """The end of its log."""


def command_of(one: StepView, roots: WorkspacePaths) -> str:
    """The exact command: the one that runs or failed, else the one that would run."""
    step = one.step
    if one.record.command and one.state in (StepState.RUNNING, StepState.FAILED):
        return one.record.command
    if step.choose == "first_available":
        return roots.shown_command(step.commands[one.record.chosen or 0].run)
    return "\n".join(roots.shown_command(command.run) for command in step.commands)


def step_blocks(one: StepView, snapshot: Snapshot, known: Known, *, stopping: bool) -> list[Block]:
    """A step: command, criterion, evidence, and what to do when it failed."""
    roots = snapshot.roots
    assert roots is not None
    step, record = one.step, one.record
    blocks = [Block("", (_heading(one, snapshot),))]
    if step.text:
        blocks.append(Block("", ((say(step.text, roots), "dim"),)))
    if one.waits_for and one.state is not StepState.RUNNING:
        blocks.append(Block(tr("runbook.l_waits"), ((", ".join(one.waits_for), "warn"),)))
    if record.reason and one.state not in (StepState.PASSED, StepState.RUNNING):
        tone = TONES[one.state]
        blocks.append(Block(tr("runbook.l_reason"), ((say(record.reason, roots), tone),)))
    if one.state is StepState.FAILED:
        blocks += _fix(step, record.problem, snapshot, known)
    if one.state is StepState.RUNNING:
        blocks.append(Block(tr("runbook.l_now"), tuple(_now(one, snapshot, stopping))))
    blocks.append(_commands(one, roots))
    blocks.append(_criterion(one, roots, known, snapshot.taken))
    if known.output and one.state in (StepState.RUNNING, StepState.FAILED):
        rows: tuple[Piece, ...] = tuple((line, "dim") for line in known.output)
        blocks.append(Block(tr("runbook.l_output"), rows, cut=True, tail=True))
    elif record.lines:
        blocks.append(
            Block(tr("runbook.l_evidence"), tuple((line, "dim") for line in record.lines), cut=True)
        )
    if record.log:
        blocks.append(Block(tr("runbook.l_log"), ((record.log, "dim"),)))
    return blocks


def problem_blocks(problem: Problem, finding: Finding | None, roots: WorkspacePaths) -> list[Block]:
    """A known problem: how to locate it, what it means, what to do."""
    blocks = [Block("", ((say(problem.title, roots), "bold"),))]
    if finding is not None:
        blocks.append(_evidence_of(finding, roots))
    if problem.belongs_to:
        blocks.append(Block(tr("runbook.l_case_of"), ((problem.belongs_to, "dim"),)))
    blocks.append(Block(tr("runbook.l_meaning"), ((say(problem.explanation, roots), ""),)))
    locate: list[Piece] = []
    for command in problem.commands:
        if command.label:
            locate.append((say(command.label, roots), "dim"))
        locate.append((f"$ {roots.shown_command(command.run)}", "accent"))
    if locate:
        blocks.append(Block(tr("runbook.l_locate"), tuple(locate)))
    if problem.note:
        blocks.append(Block(tr("runbook.l_note"), ((say(problem.note, roots), ""),)))
    remedies = finding.remedies if finding else problem.remedies
    blocks.append(Block(tr("runbook.l_remedies"), tuple(_remedies(remedies, roots))))
    return blocks


def copy_of_problem(problem: Problem, finding: Finding | None, roots: WorkspacePaths) -> str:
    """The first remedy that is a command; else what locates the problem; else the words of the remedies."""
    remedies = finding.remedies if finding else problem.remedies
    for remedy in remedies:
        if remedy.command:
            return filled(remedy, roots).command
    if problem.commands:
        return "\n".join(roots.shown_command(command.run) for command in problem.commands)
    return "\n".join(say(remedy.text, roots) for remedy in remedies)


def lay_out_blocks(blocks: Sequence[Block], width: int, height: int) -> list[Line]:
    """Rows of at most ``width`` cells, labels in a column of their own; a tail fills up ``height``."""
    labels = max((cell_len(block.label) for block in blocks), default=0) + 2
    laid = [_lay_out(block, width, labels) for block in blocks]
    used = sum(len(rows) for block, rows in zip(blocks, laid, strict=True) if not block.tail)
    most = max(height - used, _LEAST_TAIL)
    return [
        row
        for block, rows in zip(blocks, laid, strict=True)
        for row in ([*_labelled(rows[-most:], block.label, labels)] if block.tail else rows)
    ]


def _lay_out(block: Block, width: int, labels: int) -> list[Line]:
    inside = labels if block.label else 0
    room = max(width - inside, 8)
    lines: list[Line] = []
    for text, tone in block.rows:
        for row in [cut(text, room)] if block.cut else wrap(text, room):
            lines.append(((" " * inside, "dim"), (row, tone)) if inside else ((row, tone),))
    return _labelled(lines, block.label, labels)


def _labelled(lines: Sequence[Line], label: str, labels: int) -> list[Line]:
    """The label is in the first row."""
    if not lines or not label:
        return list(lines)
    return [((fit(label, labels), "dim"), *lines[0][1:]), *lines[1:]]


def _heading(one: StepView, snapshot: Snapshot) -> Piece:
    record = one.record
    parts = [f"{one.step.id}  {say(one.step.title, snapshot.roots)}", glyph_and_word(one.state)]
    if one.state is StepState.RUNNING:
        parts.append(duration(snapshot.taken - record.started if record.started else None))
    elif record.finished and one.state is not StepState.PENDING:
        parts += [short_time(record.seconds), ago(record.finished, snapshot.taken)]
    title, *rest = parts
    return "   ".join([title, *(_unbroken(part) for part in rest if part)]), "bold"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _commands(one: StepView, roots: WorkspacePaths) -> Block:
    step = one.step
    rows: list[Piece] = []
    if step.choose == "first_available" and one.state is not StepState.RUNNING:
        for number, command in enumerate(step.commands):
            if number:
                rows.append((tr("runbook.or"), "dim"))
            rows += _shell(roots.shown_command(command.run))
    else:
        rows += _shell(command_of(one, roots))
    return Block(tr("runbook.l_command"), tuple(rows))


def _shell(command: str) -> list[Piece]:
    return [(("  " if number else "$ ") + line, "accent") for number, line in enumerate(command.splitlines())]


def _criterion(one: StepView, roots: WorkspacePaths, known: Known, now: float) -> Block:
    """The checks in words; with marks from the newest check."""
    rows: list[Piece] = []
    record = one.record
    if known.checks and (known.checked or 0) >= (record.finished or 0):
        for result in known.checks:
            rows.append(
                _check_row(result.passed, say(result.description, roots), say(result.seen.detail, roots))
            )
        rows.append((tr("runbook.looked", age=ago(known.checked or now, now)), "dim"))
    elif record.checks and one.state is not StepState.RUNNING:
        for check in record.checks:
            rows.append(_check_row(check.passed, say(check.description, roots), say(check.detail, roots)))
    else:
        rows += [_check_row(None, say(check.describe(roots), roots), "") for check in one.step.checks]
    if not rows:
        rows.append((say(one.step.criterion, roots) or tr("runbook.exit_zero"), ""))
    return Block(tr("runbook.l_passes"), tuple(rows))


def _check_row(passed: bool | None, words: str, detail: str) -> Piece:
    glyph, tone = _MARKS[passed]
    shown = "" if not detail or detail in words else f"  ({detail})"
    return f"{glyph} {words}{shown}", "bad" if passed is False else "" if tone == "good" else tone


def _now(one: StepView, snapshot: Snapshot, stopping: bool) -> list[Piece]:
    assert snapshot.roots is not None
    run, record = run_of(one.step, snapshot.roots, snapshot.runs), one.record
    rows: list[Piece] = []
    if run and run.state is RunCondition.RUNNING and run.status:
        pid = run.process.pid if run.process else "–"
        beat = age(run.age_s)
        speed = "–" if run.it_per_s is None else f"{run.it_per_s:.3g}"
        rows.append((wait_words(run, record.started, snapshot.taken), "accent"))
        rows.append((tr("runbook.heartbeat", pid=pid, age=beat, speed=speed), ""))
    else:
        rows.append((str(record.process or record.runner or "–"), "dim"))
    if stopping:
        rows.append((tr("runbook.stopping_long"), "warn"))
    return rows


def _fix(step: Step, name: str | None, snapshot: Snapshot, known: Known) -> list[Block]:
    """The known problem that matches, and what fixes the step."""
    roots, view = snapshot.roots, snapshot.view
    assert roots is not None
    blocks = []
    if step.fix:
        blocks.append(Block(tr("runbook.l_fix"), ((f"$ {roots.shown_command(step.fix)}", "accent"),)))
    finding = known.findings[0] if known.findings else None
    known_id = finding.id if finding else name
    problem = view.runbook.problem(known_id) if view and known_id else None
    if problem is None:
        return blocks
    rows: list[Piece] = [(f"! {say(problem.title, roots)}", "warn")]
    rows += [(say(text, roots), "dim") for text in (finding.evidence[:2] if finding else ())]
    rows += _remedies(finding.remedies if finding else problem.remedies, roots)
    return [*blocks, Block(tr("runbook.l_problem"), tuple(rows))]


def _remedies(remedies: Sequence[Remedy], roots: WorkspacePaths) -> list[Piece]:
    rows: list[Piece] = []
    for number, remedy in enumerate(remedies, start=1):
        rows.append((f"{number} {say(remedy.text, roots)}", ""))
        if command := filled(remedy, roots).command:
            rows.append((f"  $ {command}", "accent"))
        elif remedy.overrides:
            rows.append((f"  --set {' --set '.join(remedy.overrides)}", "accent"))
    return rows


def _evidence_of(finding: Finding, roots: WorkspacePaths) -> Block:
    words = tr(f"runbook.sure_{int(finding.certainty)}")
    tone: Tone = "warn" if finding.certainty is Certainty.SHOWN else "dim"
    rows: list[Piece] = [(words, tone), *((say(text, roots), "") for text in finding.evidence)]
    return Block(tr("runbook.l_evidence"), tuple(rows))


def check_summary(step: Step, results: Sequence[CheckResult]) -> str:
    """``1.2: 3 of 4 criteria hold``."""
    held = sum(result.passed is True for result in results)
    unknown = sum(result.passed is None for result in results)
    words = tr("runbook.hold", step=step.id, held=held, total=len(results))
    return words + (tr("runbook.hold_unknown", count=unknown) if unknown else "")
