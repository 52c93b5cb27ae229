"""``diffbev-engine runs notify-test``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import json_option
from diffbev_engine.core.plain_text import plain_json


@click.command("notify-test")
@click.argument("workspace", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@json_option
@click.pass_context
def command(ctx: click.Context, workspace: Path, as_json: bool) -> None:
    """Send a test notification to every service of [notify] in WORKSPACE's workspace.toml."""
    from diffbev_engine.core.errors import ExitCode, UsageError
    from diffbev_engine.runs.notify import send_test

    sent = send_test(workspace)
    if as_json:
        click.echo(plain_json(json.dumps(sent.to_json(), ensure_ascii=False)))
    elif sent.problem:
        raise UsageError(sent.problem.en)
    else:
        click.echo(sent.words.en)
    if not sent.accepted or sent.refused:
        ctx.exit(ExitCode.FAILED)
