"""``diffbev-tui``: opens a workspace, makes a demo, or serves the UI to a browser."""

import gc
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.core.errors import DiffBEVError, UsageError

if TYPE_CHECKING:
    from diffbev_engine.runbook.workspace_paths import WorkspacePaths


class _OpensByDefault(click.Group):
    """``diffbev-tui DIR`` means ``diffbev-tui open DIR``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help", "--version")):
            args = ["open", *args]
        return super().parse_args(ctx, args)


workspace_argument = click.argument("workspace", type=click.Path(path_type=Path), required=False)
language_option = click.option(
    "--lang", type=click.Choice(["zh", "en"]), help="Default: remembered, then $LANG."
)
read_only_option = click.option(
    "--read-only", is_flag=True, help="Read-only: do not start, stop or change anything."
)


@click.group(cls=_OpensByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="diffbev")
def cli() -> None:
    """Training DiffBEV in a terminal: the runbook, live charts, GPU memory, per-class IoU.

    `diffbev-tui [WORKSPACE]` opens a workspace; without one, that of the current folder.
    """


@cli.command("open")
@workspace_argument
@language_option
@read_only_option
def open_workspace(workspace: Path | None, lang: str | None, read_only: bool) -> None:
    """Open a workspace (the default)."""
    _run_app(_roots(workspace), lang, read_only)


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("diffbev_demo"), show_default=True)
@language_option
def demo(out: Path, lang: str | None) -> None:
    """Create a synthetic workspace and open it, ready for the smoke test on a CPU."""
    from diffbev_tui.welcome.demo import make_demo

    _run_app(_roots(make_demo(out.absolute())), lang, read_only=False)


@cli.command()
@workspace_argument
@click.option("--port", type=click.IntRange(1, 65535), default=8023, show_default=True)
@click.option("--allow-actions", is_flag=True, help="Let the browser start and stop runs too.")
@language_option
def serve(workspace: Path | None, port: int, allow_actions: bool, lang: str | None) -> None:
    """Serve the UI to a browser on this machine (loopback only, read-only).

    From elsewhere: ssh -L 8023:127.0.0.1:8023 HOST, then open the printed address here. Its token is new
    each time, or $DIFFBEV_TUI_TOKEN.
    """
    from diffbev_tui.served import address, new_token
    from diffbev_tui.served import serve as serve_app

    roots = _roots(workspace)
    command = [sys.executable, "-m", "diffbev_tui.main", "open"]
    command += [str(roots.workspace)] if roots else []
    command += [] if allow_actions else ["--read-only"]
    command += ["--lang", lang] if lang else []
    token = os.environ.get("DIFFBEV_TUI_TOKEN") or new_token()
    click.echo(f"Serving at {address(port, token)}. Press Ctrl+C to stop; runs are not affected.")
    serve_app(command, port, token)


def _roots(workspace: Path | None) -> "WorkspacePaths | None":
    from diffbev_engine.core.toml import WORKSPACE_FILE
    from diffbev_engine.runbook.workspace_paths import find_roots

    try:
        roots = find_roots(workspace)
    except UsageError:
        if workspace is None:
            return None
        raise
    here = (roots.workspace / WORKSPACE_FILE).exists() or (roots.workspace / "configs").is_dir()
    if workspace is not None and not here:
        raise UsageError(
            f"{roots.workspace} is not a workspace: it has no workspace.toml. "
            f"Create one with `diffbev-engine init {shlex.quote(str(workspace))} --nuscenes-root DIR`."
        )
    return roots if here else None


def _run_app(roots: "WorkspacePaths | None", lang: str | None, read_only: bool) -> None:
    if not (sys.stdout.isatty() or "TEXTUAL_DRIVER" in os.environ):
        raise UsageError(
            "diffbev-tui needs a terminal, but stdout is not one. Use `diffbev-engine` in scripts."
        )
    if os.environ.get("SSH_TTY"):
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

    # Charts are computed in a background thread: after each key wait, the UI must reacquire the GIL,
    # interpreter back from there, which takes 5 ms by default, several times for one key.
    sys.setswitchinterval(0.0005)
    # Disable GC during startup, where it costs time and frees nothing; the app re-enables it.
    gc.disable()

    from diffbev_tui.app import DiffBEVApp
    from diffbev_tui.i18n import set_language
    from diffbev_tui.places import settings_file
    from diffbev_tui.preferences import read_preferences
    from diffbev_tui.terminal_graphics import terminal_graphics

    chosen = lang or read_preferences(settings_file()).language
    if chosen == "zh":
        set_language("zh")
    elif chosen == "en":
        set_language("en")
    app = DiffBEVApp(roots, read_only=read_only, graphics=terminal_graphics(os.environ))
    app.run()
    sys.exit(app.return_code or 0)


def main() -> None:
    """Run the command line; an error that a user can cause is one message."""
    try:
        cli()
    except DiffBEVError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(int(error.exit_code))


if __name__ == "__main__":
    main()
