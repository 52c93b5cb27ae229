"""``diffbev-engine preflight``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, json_option, set_option
from diffbev_engine.cli.runbook_shared import language_option, or_default, print_json
from diffbev_engine.core.errors import ExitCode
from diffbev_engine.core.plain_text import plain

if TYPE_CHECKING:
    from diffbev_engine.core.bilingual import Language
    from diffbev_engine.findings.finding import Finding
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command(short_help="Check everything a long run depends on.")
@config_argument
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Run directory to check; it is not created.",
)
@gpu_ids_option
@set_option
@json_option
@language_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str,
    work_dir: Path,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
    language: "Language | None",
) -> None:
    """Check everything that training CONFIG in the work dir depends on, without changing anything.

    Disk, data root (case, pairs, splits, depth, a sample of files and labels), pretrained
    weights, driver and CUDA against torch, GPU memory against the batch, limits of open files
    and shared memory, RAM, and another run in the work dir. The exit code is 1 if anything
    would make the run fail.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.findings.preflight import preflight, summary
    from diffbev_engine.runbook.present import filled

    chosen, found, roots = or_default(language), [], _roots_around(work_dir)
    for one in preflight(load_settings(config, overrides), config, work_dir, gpu_ids):
        finding = replace(one, remedies=tuple(filled(remedy, roots) for remedy in one.remedies))
        found.append(finding)
        if not as_json:
            _show(finding, chosen)
    result = summary(found)
    if as_json:
        print_json(result)
    else:
        counts = result["counts"]
        numbers = {
            "zh": "错误 {error}，警告 {warning}，正常 {ok}",
            "en": "errors {error}, warnings {warning}, ok {ok}",
        }[chosen]
        click.secho("\n" + numbers.format(**counts), bold=True)
    if not result["ok"]:
        ctx.exit(ExitCode.FAILED)


def _roots_around(work_dir: Path) -> "WorkspacePaths":
    """Of the workspace that the run belongs to; names to fill in where there is none."""
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.runbook.present import NO_ROOTS
    from diffbev_engine.runbook.workspace_paths import find_roots
    from diffbev_engine.runs.notify import workspace_file_of

    file = workspace_file_of(work_dir.absolute())
    try:
        return find_roots(file.parent) if file else NO_ROOTS
    except UsageError:
        return NO_ROOTS


def _show(finding: "Finding", language: "Language") -> None:
    mark, colour = _MARKS[finding.severity.value]
    where = f"  [{finding.where}]" if finding.where else ""
    title = plain(finding.title[language] + where, keep="\n")
    click.echo(f"{click.style(mark, fg=colour)} {finding.id:<14} {title}")
    if finding.remedies:
        advice = plain(finding.advice[language], keep="\n")
        click.echo(f"  {'':<14} → {advice}")
