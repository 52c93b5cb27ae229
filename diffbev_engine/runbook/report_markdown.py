"""The record of a campaign as Markdown: figures linked beside it."""

import os
from pathlib import Path

from diffbev_engine.core.format import duration, points
from diffbev_engine.runbook import report_words as words
from diffbev_engine.runbook.present import STATE_WORDS, clock
from diffbev_engine.runbook.record import GLYPHS, StepState
from diffbev_engine.runbook.report import Campaign
from diffbev_engine.runbook.view import StepView


def to_markdown(campaign: Campaign, folder: Path) -> str:
    """The whole report; links to figures start at ``folder``."""
    language = campaign.language
    parts = [f"# {words.TITLE[language]}", f"{words.WRITTEN[language]} {clock(campaign.written)}"]
    if campaign.runs:  # what it was all for
        parts += [f"## {words.RUNS[language]}", _runs(campaign)]
    parts += [f"## {words.PROGRESS[language]}", _summary(campaign)]
    parts.append(f"## {words.STEPS[language]}")
    for phase in campaign.view.runbook.phases:
        parts.append(f"### {phase.id} {phase.title[language]}")
        parts += [_step(view, campaign) for view in campaign.view.of_phase(phase)]
    parts += [f"## {words.FIGURES[language]}", _figures(campaign, folder)]
    parts += [f"## {words.ENVIRONMENT[language]}", _environment(campaign)]
    return "\n\n".join(parts) + "\n"


def _summary(campaign: Campaign) -> str:
    language, view = campaign.language, campaign.view
    counts = [
        f"{STATE_WORDS[state][language]} {view.counts[state]}" for state in StepState if view.counts[state]
    ]
    following = (
        f"{view.next.step.id} {view.next.step.title[language]}" if view.next else words.NOTHING[language]
    )
    return f"{' · '.join(counts)}\n\n{words.NEXT[language]}: {following}"


def _runs(campaign: Campaign) -> str:
    head = words.RUN_COLUMNS[campaign.language].split("|")
    rows = [
        [run.name, run.state, _number(run.step), points(run.best_miou, 2), _number(run.best_step)]
        for run in campaign.runs
    ]
    return _table(head, rows)


def _step(view: StepView, campaign: Campaign) -> str:
    language, record = campaign.language, view.record
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


def _figures(campaign: Campaign, folder: Path) -> str:
    if not campaign.figures:
        return words.NO_FIGURES[campaign.language]
    links = [
        f"![{path.stem}](<{os.path.relpath(path, folder)}>)\n\n*{campaign.roots.short(path)}*"
        for path in campaign.figures
    ]
    if campaign.left_out:
        links.append(f"{campaign.left_out} {words.LEFT_OUT[campaign.language]}")
    return "\n\n".join(links)


def _environment(campaign: Campaign) -> str:
    return _table(["", ""], [[name, value] for name, value in campaign.environment])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
