"""``diffbev-engine completion``."""

import click

VARIABLE = "_DIFFBEV_ENGINE_COMPLETE"
"""What the script sets when it asks for completions; click answers."""


@click.command(short_help="Print the completion script of your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, options, presets and paths in your shell.

    \b
    bash: echo 'eval "$(diffbev-engine completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(diffbev-engine completion zsh)"' >> ~/.zshrc
    fish: diffbev-engine completion fish > ~/.config/fish/completions/diffbev-engine.fish
    """
    from click.shell_completion import get_completion_class

    from diffbev_engine.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "diffbev-engine", VARIABLE).source())
