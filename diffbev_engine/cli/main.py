"""``diffbev-engine``: finds the command, runs it, turns errors into one message and an exit code."""

import gc
import importlib
import io
import os
import sys
from contextlib import redirect_stdout

import click

from diffbev_engine import __version__
from diffbev_engine.core.errors import DiffBEVError, ExitCode
from diffbev_engine.core.plain_text import PlainOutput, plain
from diffbev_engine.core.secrets import masked

_LINES = "\n\t"

# Command name -> module with a click command named ``command``; the order is that of the work.
_COMMANDS = {
    "init": "diffbev_engine.cli.init",
    "demo": "diffbev_engine.cli.demo",
    "synth": "diffbev_engine.cli.synth",
    "prepare": "diffbev_engine.cli.prepare",
    "preview-labels": "diffbev_engine.cli.preview_labels",
    "prepare-depth": "diffbev_engine.cli.prepare_depth",
    "check-depth": "diffbev_engine.cli.check_depth",
    "check-tables": "diffbev_engine.cli.check_tables",
    "memory": "diffbev_engine.cli.memory",
    "preflight": "diffbev_engine.cli.preflight",
    "train": "diffbev_engine.cli.train",
    "slurm": "diffbev_engine.cli.slurm",
    "runs": "diffbev_engine.cli.runs",
    "evaluate": "diffbev_engine.cli.evaluate",
    "plot-metrics": "diffbev_engine.cli.plot_metrics",
    "visualize": "diffbev_engine.cli.visualize",
    "predict": "diffbev_engine.cli.predict",
    "export": "diffbev_engine.cli.export",
    "diagnose": "diffbev_engine.cli.diagnose",
    "runbook": "diffbev_engine.cli.runbook",
    "bench": "diffbev_engine.cli.bench",
    "env": "diffbev_engine.cli.env",
    "completion": "diffbev_engine.cli.completion",
}


class _LazyGroup(click.Group):
    """Imports the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="diffbev-engine")
def cli() -> None:
    """Bird's-eye-view segmentation on nuScenes: prepare, train, evaluate.

    Exit codes: 0 done; 1 a check or step failed; 2 wrong usage or configuration; 3 out of GPU
    memory; 4 training diverged; 5 interrupted, resumable.
    """


def share_the_cpu() -> None:
    """Limit OpenMP spinning unless the user has configured it.

    By default OpenMP threads spin for several milliseconds, longer than a scheduler time slice. With one
    other busy process, this halved training speed on two cores.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "2000"  # some hundredths of a millisecond; read when torch is loaded


def main() -> None:
    """Run the command line and leave with its exit code."""
    share_the_cpu()
    # Importing torch makes 400,000 objects that stay. Looking through them for garbage time and again
    # took 0.6 of 3.5 seconds; what the command itself leaves behind is collected, only less often.
    gc.set_threshold(50_000, 20, 100)
    try:
        with redirect_stdout(PlainOutput(sys.stdout)):
            code = cli.main(prog_name="diffbev-engine", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        click.echo(masked(shown.getvalue()), err=True, nl=False)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = ExitCode.INTERRUPTED
    except DiffBEVError as error:
        click.echo(f"{click.style('error:', fg='red')} {plain(masked(str(error)), keep=_LINES)}", err=True)
        code = error.exit_code
    sys.exit(code)
