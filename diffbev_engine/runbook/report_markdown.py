"""The report of a runbook as Markdown, with linked figures."""

import os
from pathlib import Path

from diffbev_engine.core.format import duration, points
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runbook import report_words as words
from diffbev_engine.runbook.present import STATE_WORDS, clock
from diffbev_engine.runbook.record import GLYPHS, StepState
from diffbev_engine.runbook.report import ReportContent
from diffbev_engine.runbook.view import StepView


def to_markdown(content: ReportContent, folder: Path) -> str:
    """The whole report; links to figures start at ``folder``."""
    language = content.language
    parts = [f"# {words.TITLE[language]}", f"{words.WRITTEN[language]} {clock(content.written)}"]
    if content.runs:  # what it was all for
        parts += [f"## {words.RUNS[language]}", _runs(content)]
    parts += [f"## {words.PROGRESS[language]}", _summary(content)]
    parts.append(f"## {words.STEPS[language]}")
    for phase in content.view.runbook.phases:
        parts.append(f"### {phase.id} {phase.title[language]}")
        parts += [_step(view, content) for view in content.view.of_phase(phase)]
    parts += [f"## {words.FIGURES[language]}", _figures(content, folder)]
    parts += [f"## {words.ENVIRONMENT[language]}", _environment(content)]
    return plain("\n\n".join(parts), keep="\n\t") + "\n"


def _summary(content: ReportContent) -> str:
    language, view = content.language, content.view
    counts = [
        f"{STATE_WORDS[state][language]} {view.counts[state]}" for state in StepState if view.counts[state]
    ]
    following = (
        f"{view.next.step.id} {view.next.step.title[language]}" if view.next else words.NOTHING[language]
    )
    return f"{' · '.join(counts)}\n\n{words.NEXT[language]}: {following}"


def _runs(content: ReportContent) -> str:
    head = words.RUN_COLUMNS[content.language].split("|")
    rows = [
        [run.name, run.state, _number(run.step), points(run.best_miou, 2), _number(run.best_step)]
        for run in content.runs
    ]
    return _table(head, rows)


def _step(view: StepView, content: ReportContent) -> str:
    language, record = content.language, view.record
    state = STATE_WORDS[view.state][language]
    lines = [f"**{GLYPHS[view.state]} {view.step.id} {view.step.title[language]}** — {state}"]
    facts = []
    if record.started and view.state is not StepState.PENDING:
        facts.append(clock(record.started))
    if record.seconds is not None:
        facts.append(duration(record.seconds, language, tenths=True))
    if record.exit_code is not None:
        facts.append(f"{words.EXIT_CODE[language]} {record.exit_code}")
    if record.log:
        facts.append(f"{words.LOG[language]} `{record.log}`")
    if record.problem:
        facts.append(f"{words.PROBLEM[language]} {record.problem}")
    if facts:
        lines.append(" · ".join(facts))
    if record.reason:
        lines.append(f"> {record.reason[language]}")
    if record.command:
        lines.append(f"```bash\n{record.command}\n```")
    checks = [
        f"- {'✓' if one.passed else '✗'} {one.description[language]}"
        + (f": `{one.detail[language]}`" if one.detail else "")
        for one in record.checks
    ]
    if checks:
        lines.append("\n".join(checks))
    return "\n\n".join(lines)


def _figures(content: ReportContent, folder: Path) -> str:
    if not content.figures:
        return words.NO_FIGURES[content.language]
    links = [
        f"![{path.stem}](<{os.path.relpath(path, folder)}>)\n\n*{content.roots.short(path)}*"
        for path in content.figures
    ]
    if content.left_out:
        links.append(f"{content.left_out} {words.LEFT_OUT[content.language]}")
    return "\n\n".join(links)


def _environment(content: ReportContent) -> str:
    return _table(["", ""], [[name, value] for name, value in content.environment])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
