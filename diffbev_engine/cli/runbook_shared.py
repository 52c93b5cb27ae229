"""What the commands of ``diffbev-engine runbook`` share: options, and how things are shown."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.core.plain_text import plain, plain_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from diffbev_engine.core.bilingual import Language
    from diffbev_engine.runbook.model import Runbook, Step
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths

workspace_argument = click.argument("workspace", required=False, type=click.Path(path_type=Path))
phase_option = click.option("--phase", metavar="ID", help="Only this phase, e.g. 2 or final.")
step_option = click.option(
    "--step", "steps", multiple=True, metavar="ID", help="Only this step, e.g. 2.4; may be repeated."
)
language_option = click.option(
    "--lang", "language", type=click.Choice(["zh", "en"]), help="Default: the language of the shell."
)


def open_workspace(workspace: Path | None) -> "tuple[WorkspacePaths, Runbook]":
    """The roots and the runbook of a workspace; default: that of the current folder."""
    from diffbev_engine.runbook.load import load_runbook
    from diffbev_engine.runbook.workspace_paths import find_roots

    roots = find_roots(workspace)
    return roots, load_runbook(roots)


def chosen_steps(runbook: "Runbook", phase: str | None, steps: tuple[str, ...]) -> "list[Step]":
    """The steps that --phase and --step leave, in the order of the runbook."""
    named = [runbook.step(name) for name in steps]
    inside = runbook.phase(phase).steps if phase is not None else runbook.steps
    return [step for step in inside if not named or step in named]


def or_default(language: "Language | None") -> "Language":
    """The language asked for, or that of the shell."""
    from diffbev_engine.core.bilingual import language_of_the_shell

    return language or language_of_the_shell()


def print_json(value: object) -> None:
    """Print ``value``, readable also in Chinese."""
    click.echo(plain_json(json.dumps(value, indent=1, ensure_ascii=False)))


def indented(text: str, indent: str, *, dim: bool = False) -> None:
    """Print lines, the first behind ``indent``."""
    for number, line in enumerate(plain(text, keep="\n").splitlines()):
        click.secho((indent if number == 0 else " " * len(indent)) + line, dim=dim)


def show_finding(problem: "Mapping[str, Any]", language: "Language", *, err: bool = False) -> None:
    """Print a known problem, as ``finding_json`` gives it: evidence, locating command, fixes."""
    words = {"zh": ("问题", "定位", "方案"), "en": ("problem", "check with", "fix")}[language]
    if problem["certainty"] == "circumstance":
        also = {
            "zh": "当前存在此情况，但不一定是失败原因",
            "en": "true right now, but not necessarily the cause",
        }[language]
        _echo(f"\n  ({also}) {problem['id']}: {problem['evidence'][0][language]}", err=err)
        return
    part_of = f" → {problem['belongs_to']}" if problem["belongs_to"] else ""
    possible = "" if problem["match"] else {"zh": "可能的", "en": "possible "}[language]
    mark = "!" if problem["match"] else "?"
    head = f"{mark} {possible}{words[0]} {problem['id']}{part_of}: {problem['title'][language]}"
    _echo(f"\n{head}", bold=True, err=err)
    for text in problem["evidence"]:
        _echo(f"  {text[language]}", err=err)
    _echo(f"  {problem['explanation'][language]}", err=err)
    for block in problem["locate"]:
        _echo(f"  {words[1]}: {block['run']}", err=err)
    for number, remedy in enumerate(problem["remedies"], start=1):
        settings = " ".join(f"--set {override}" for override in remedy["overrides"])
        extra = remedy["command"] or settings
        _echo(
            f"  {words[2]} {number}: {remedy['text'][language]}" + (f"  [{extra}]" if extra else ""), err=err
        )


def _echo(text: str, *, bold: bool | None = None, err: bool) -> None:
    click.secho(plain(text, keep="\n\t"), bold=bold, err=err)
