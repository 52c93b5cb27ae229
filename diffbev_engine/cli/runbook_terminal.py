"""What a run of the runbook shows on a terminal."""

import sys

import click

from diffbev_engine.cli.runbook_shared import show_finding
from diffbev_engine.core.bilingual import Bilingual, Language
from diffbev_engine.core.format import duration
from diffbev_engine.runbook.model import Runbook, Step
from diffbev_engine.runbook.present import STATE_WORDS, finding_json
from diffbev_engine.runbook.record import GLYPHS
from diffbev_engine.runbook.runner import Ran, Reporter
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_FIX = Bilingual("修复命令", "fix it with")


def terminal_reporter(
    runbook: Runbook, roots: WorkspacePaths, language: Language, *, to_stderr: bool
) -> Reporter:
    """A reporter that prints each step, its output as it comes, and how it ended."""
    stream = sys.stderr if to_stderr else sys.stdout

    class Terminal(Reporter):
        def starts(self, step: Step, number: int, total: int, command: str) -> None:
            click.secho(f"\n[{number}/{total}] {step.id} {step.title[language]}", bold=True, file=stream)
            for line_number, line in enumerate(command.splitlines()):
                click.secho(f"{'>' if line_number else '$'} {line}", dim=True, file=stream)

        def says(self, text: str) -> None:
            stream.write(text)
            stream.flush()

        def ended(self, ran: Ran) -> None:
            record = ran.record
            took = "" if record.seconds is None else f", {duration(record.seconds, language, tenths=True)}"
            reason = f": {record.reason[language]}" if record.reason else ""
            colour = {"passed": "green", "failed": "red"}.get(record.state.value)
            head = f"{GLYPHS[record.state]} {ran.step.id} {STATE_WORDS[record.state][language]}"
            click.secho(f"{head}{took}{reason}", fg=colour, file=stream)
            if record.state.value == "failed" and record.log:
                click.echo(f"  {roots.workspace / record.log}", file=stream)
            if record.state.value == "failed" and ran.step.fix:
                click.echo(f"  {_FIX[language]}: {roots.shown_command(ran.step.fix)}", file=stream)
            shown = (
                [one for one in ran.findings if one.certainty > 1] if record.state.value == "failed" else []
            )
            for finding in shown[:1]:
                show_finding(finding_json(finding, runbook, roots), language, err=to_stderr)

    return Terminal()
