"""``diffbev-engine runbook run``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import json_option
from diffbev_engine.cli.runbook_shared import (
    language_option,
    open_workspace,
    or_default,
    phase_option,
    print_json,
    step_option,
    workspace_argument,
)

if TYPE_CHECKING:
    from diffbev_engine.core.bilingual import Bilingual, Language


@click.command()
@workspace_argument
@phase_option
@step_option
@click.option("--from", "start", metavar="ID", help="Run this step and all later ones.")
@click.option(
    "--again", is_flag=True, help="Rerun steps that have already passed; training starts from scratch."
)
@click.option("--anyway", is_flag=True, help="Run even if prerequisite steps have not passed.")
@click.option(
    "--adopt",
    is_flag=True,
    help="Accept existing results that meet the criteria instead of running the step.",
)
@language_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    workspace: Path | None,
    phase: str | None,
    steps: tuple[str, ...],
    start: str | None,
    again: bool,
    anyway: bool,
    adopt: bool,
    language: "Language | None",
    as_json: bool,
) -> None:
    """Run steps in order and stop at the first failure. Steps that have passed are skipped.

    Steps given with --step or --from always run; interrupted training resumes from its last
    checkpoint. Commands run with bash in the workspace; their output goes to the terminal and to
    .diffbev/logs/. Ctrl+C stops training after saving a checkpoint; a second Ctrl+C kills it.
    The exit code is 3, 4 or 5 if that is how the training ended, else 1
    if a step failed.  With --json the result goes to stdout, the output of the steps to stderr.
    """
    from diffbev_engine.cli.runbook_terminal import terminal_reporter
    from diffbev_engine.runbook.doctor import named
    from diffbev_engine.runbook.present import finding_json, roots_json, state_json
    from diffbev_engine.runbook.runner import Selection, exit_code_of, run_steps, select
    from diffbev_engine.runbook.state import StateStore
    from diffbev_engine.runbook.view import view_runbook

    roots, runbook = open_workspace(workspace)
    selection = Selection(phase, steps, start, again, anyway, adopt)
    ran = run_steps(
        runbook,
        roots,
        selection,
        terminal_reporter(runbook, roots, or_default(language), to_stderr=as_json),
    )
    code = exit_code_of(ran)
    view = view_runbook(runbook, StateStore(roots).read(), roots)
    if as_json:
        findings = ran[-1].findings if ran and code else ()
        cause = named(findings)
        result = {
            **roots_json(roots),
            "exit_code": int(code),
            "failed": ran[-1].step.id if code else None,
            "problem": cause.id if cause else None,
            "fix": (roots.shown_command(ran[-1].step.fix) or None) if code else None,
            "findings": [finding_json(finding, runbook, roots) for finding in findings],
            "steps": [state_json(view[one.step.id]) for one in ran],
            "next": view.next.step.id if view.next else None,
        }
        print_json(result)
    elif not code:
        left_out = {step.id for step in select(view, replace(selection, again=True))} - {
            one.step.id for one in ran
        }
        if left_out:
            click.echo(_left_out(len(left_out), any_ran=bool(ran))[or_default(language)])
    if code:
        ctx.exit(code)


def _left_out(count: int, *, any_ran: bool) -> "Bilingual":
    """What to say of steps that were not run again."""
    from diffbev_engine.core.bilingual import Bilingual

    if not any_ran:
        return Bilingual(
            "所选步骤均已通过；使用 --again 重新运行",
            "All selected steps have already passed. Use --again to rerun them.",
        )
    return Bilingual(
        f"另有 {count} 个步骤此前已通过，已跳过；使用 --again 重新运行",
        f"{count} more steps had already passed and were skipped. Use --again to rerun them.",
    )
