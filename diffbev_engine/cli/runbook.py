"""``diffbev-engine runbook``: the phases and steps of the runbook, headless."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli import runbook_run
from diffbev_engine.cli.options import json_option
from diffbev_engine.cli.runbook_shared import (
    chosen_steps,
    indented,
    language_option,
    open_workspace,
    or_default,
    phase_option,
    print_json,
    show_finding,
    step_option,
    workspace_argument,
)
from diffbev_engine.core.errors import ExitCode, UsageError
from diffbev_engine.core.plain_text import plain

if TYPE_CHECKING:
    from diffbev_engine.core.bilingual import Language
    from diffbev_engine.runbook.timeline import Timeline
    from diffbev_engine.runbook.view import RunbookView
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths


@click.group(short_help="The runbook: phases 0-6, known problems, checklist.")
def command() -> None:
    """Work through the runbook: list, check and run steps, write a report, diagnose failures.

    WORKSPACE is a directory created by `diffbev-engine init`; default: the workspace of the current
    directory. A file runbook.toml in it adds phases and steps.  The state of every step is kept in .diffbev/.
    """


@command.command("list")
@workspace_argument
@phase_option
@step_option
@language_option
@json_option
def list_steps(
    workspace: Path | None,
    phase: str | None,
    steps: tuple[str, ...],
    language: "Language | None",
    as_json: bool,
) -> None:
    """Show the steps with their commands and criteria, and the known problems.  Works anywhere."""
    from diffbev_engine.runbook.load import load_runbook
    from diffbev_engine.runbook.present import NO_ROOTS, runbook_json
    from diffbev_engine.runbook.workspace_paths import find_roots

    try:
        roots = find_roots(workspace)
        runbook = load_runbook(roots)
    except UsageError:
        if workspace is not None:
            raise
        roots, runbook = NO_ROOTS, load_runbook()
    chosen = chosen_steps(runbook, phase, steps)
    if as_json:
        print_json(runbook_json(runbook, roots, chosen))
        return
    language = or_default(language)
    for one in runbook.phases:
        mine = [step for step in one.steps if step in chosen]
        if mine:
            click.secho(f"\n{one.id}  {one.title[language]}", bold=True)
        for step in mine:
            click.echo(f"\n  {step.id}  {step.title[language]}")
            for block in step.commands:
                indented(f"$ {roots.shown_command(block.run)}", "      ", dim=True)
            indented(roots.words(step.criterion)[language], "      → ")
    if not phase and not steps:
        click.secho({"zh": "\n已知问题", "en": "\nKnown problems"}[language], bold=True)
        for problem in runbook.problems:
            click.echo(f"  {problem.id:<20} {problem.title[language]}")


@command.command()
@workspace_argument
@phase_option
@step_option
@language_option
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    workspace: Path | None,
    phase: str | None,
    steps: tuple[str, ...],
    language: "Language | None",
    as_json: bool,
) -> None:
    """Check whether the success criteria are met now, without running or changing anything.

    What a command must print is looked up in the log of its last run.  Exit code 1 if a
    criterion does not hold.
    """
    from diffbev_engine.runbook.judge import check_step, recorded_outcome
    from diffbev_engine.runbook.present import all_hold, checks_json, roots_json
    from diffbev_engine.runbook.record import StepState
    from diffbev_engine.runbook.state import StateStore

    roots, runbook = open_workspace(workspace)
    records = StateStore(roots).read()
    chosen = [
        (step, check_step(step, roots, recorded_outcome(records.get(step.id), roots)))
        for step in chosen_steps(runbook, phase, steps)
    ]
    skipped = {name for name, record in records.items() if record.state is StepState.SKIPPED}
    failed = [step for step, results in chosen if all_hold(results) is False and step.id not in skipped]
    if as_json:
        listed = [{**checks_json(step, results), "skipped": step.id in skipped} for step, results in chosen]
        print_json({**roots_json(roots), "passed": not failed, "steps": listed})
    else:
        language = or_default(language)
        for step, results in chosen:
            holds = all_hold(results)
            glyph = "↷" if step.id in skipped else {True: "✓", False: "✗", None: "○"}[holds]
            click.echo(f"{glyph} {step.id:<6} {step.title[language]}")
            if step.id in skipped and (why := records[step.id].reason):
                click.echo(f"         {why[language]}")
            for result in results:
                if (result.passed is False and step.id not in skipped) or len(steps) == 1:
                    detail = f" ({result.seen.detail[language]})" if result.seen.detail else ""
                    mark = {True: "✓", False: "✗", None: "○"}[result.passed]
                    click.echo(f"         {mark} {result.description[language]}{detail}")
            if holds is False and step.fix and step.id not in skipped:
                click.echo(f"         $ {roots.shown_command(step.fix)}")
    if failed:
        ctx.exit(ExitCode.FAILED)


@command.command()
@workspace_argument
@phase_option
@step_option
@language_option
@json_option
def status(
    workspace: Path | None,
    phase: str | None,
    steps: tuple[str, ...],
    language: "Language | None",
    as_json: bool,
) -> None:
    """Show the state of every step with its evidence, the time taken and left, and the next step."""
    from diffbev_engine.runbook.present import state_line, time_line, view_json
    from diffbev_engine.runbook.runner import settle
    from diffbev_engine.runbook.state import StateStore
    from diffbev_engine.runbook.view import view_runbook

    roots, runbook = open_workspace(workspace)
    store = StateStore(roots)
    settle(runbook, roots, store)
    view = view_runbook(runbook, store.read(), roots)
    chosen = chosen_steps(runbook, phase, steps)
    times = _timeline(view, roots)
    if as_json:
        print_json(view_json(view, roots, chosen, times))
        return
    language = or_default(language)
    for one, spent in zip(runbook.phases, times.phases, strict=True):
        mine = [state for state in view.of_phase(one) if state.step in chosen]
        if mine:
            click.secho(f"{one.id}  {one.title[language]}", bold=True, nl=False)
            click.secho("  " + time_line(spent, language) if time_line(spent, language) else "", dim=True)
        for state in mine:
            click.echo(f"  {state_line(state, language)}")
            if len(steps) == 1:
                indented("\n".join(state.record.lines), "      | ", dim=True)
    if total := time_line(times, language):
        click.echo({"zh": f"\n总计：{total}", "en": f"\ntotal: {total}"}[language])
    if view.next:
        following = f"{view.next.step.id} {view.next.step.title[language]}"
        click.echo({"zh": f"下一步：{following}", "en": f"next: {following}"}[language])


def _timeline(view: "RunbookView", roots: "WorkspacePaths") -> "Timeline":
    from diffbev_engine.runbook.prediction import predicted_seconds
    from diffbev_engine.runbook.timeline import timeline
    from diffbev_engine.runs.find import find_runs
    from diffbev_engine.runs.inspect import inspect_run

    runs = [inspect_run(path) for folder in roots.run_folders for path in find_runs(folder)]
    runs.sort(key=lambda run: run.started or run.updated or 0.0, reverse=True)
    return timeline(view, roots, runs, predicted_seconds(view, roots, runs), time.time())


@command.command()
@workspace_argument
@click.option(
    "--output-dir", type=click.Path(path_type=Path), help="Default: reports/runbook of the workspace."
)
@language_option
@json_option
def report(
    workspace: Path | None, output_dir: Path | None, language: "Language | None", as_json: bool
) -> None:
    """Write a report: steps, evidence, figures, environment.

    report.html is one file that holds everything, to attach to a paper or a ticket; report.md
    links the figures.
    """
    from diffbev_engine.runbook.report import read_content, write_report

    roots, runbook = open_workspace(workspace)
    content = read_content(runbook, roots, or_default(language))
    markdown, html = write_report(content, output_dir or roots.workspace / "reports" / "runbook")
    if as_json:
        print_json({"markdown": str(markdown), "html": str(html), "figures": len(content.figures)})
    else:
        click.echo(plain(f"{markdown}\n{html}", keep="\n"))


@command.command()
@click.argument("target", required=False, type=click.Path(path_type=Path), metavar="[RUN_DIR|LOG|WORKSPACE]")
@language_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, target: Path | None, language: "Language | None", as_json: bool) -> None:
    """Identify the known problem behind a failed run, a log, or the last failed step.

    Exit code 1 if a problem was found.
    """
    from diffbev_engine.findings.finding import Certainty
    from diffbev_engine.runbook.doctor import consult, named
    from diffbev_engine.runbook.present import finding_json

    consultation = consult(target)
    findings, roots, runbook = consultation.findings, consultation.roots, consultation.runbook
    cause = named(findings)
    if as_json:
        found = [finding_json(finding, runbook, roots) for finding in findings]
        problem = cause.id if cause else None
        print_json({"about": consultation.about.to_json(), "problem": problem, "findings": found})
    else:
        click.echo(plain(consultation.about[or_default(language)], keep="\n"))
        for finding in findings:
            show_finding(finding_json(finding, runbook, roots), or_default(language))
        if cause is None:
            text = {"zh": "没有匹配的已知问题", "en": "no known problem matches"}
            click.echo(text[or_default(language)])
    if any(finding.certainty > Certainty.CIRCUMSTANCE for finding in findings):
        ctx.exit(ExitCode.FAILED)


@command.command()
@click.argument("step")
@click.option("--reason", help="Why the step is not needed here.")
@click.option("--undo", is_flag=True, help="Reset the step to pending.")
@click.option("--workspace", type=click.Path(path_type=Path), help="Default: that of the current folder.")
def skip(step: str, reason: str | None, undo: bool, workspace: Path | None) -> None:
    """Skip STEP; the reason is saved in the report."""
    from diffbev_engine.runbook.runner import skip_step
    from diffbev_engine.runbook.state import StateStore

    roots, runbook = open_workspace(workspace)
    if undo:
        StateStore(roots).reset(runbook.step(step).id)
        click.echo(f"○ {step}")
        return
    if not reason:
        raise UsageError(
            "--reason is required, e.g. --reason 'data is on another machine'. It is saved in the report."
        )
    skip_step(runbook, roots, step, reason)
    click.echo(f"↷ {step}: {reason}")


command.add_command(runbook_run.command, "run")
