"""The command line answers at once: help imports nothing heavy."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli

HEAVY = {"torch", "torchvision", "timm", "nuscenes", "matplotlib", "cv2", "scipy", "numpy", "pydantic"}
COMMANDS = sorted(cli.list_commands(None))  # type: ignore[arg-type]


def _imported(*arguments: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = (line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "import time:" in line)
    return {name.split(".")[0] for name in names}


def test_help_imports_nothing_heavy():
    assert not _imported("-m", "diffbev_engine", "--help") & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(command):
    assert not _imported("-m", "diffbev_engine", command, "--help") & HEAVY


@pytest.mark.parametrize(
    "module", ["diffbev_engine", "diffbev_tui", "diffbev_engine.runs.folder", "diffbev_engine.runs.status"]
)
def test_light_rooms_import_nothing_heavy(module):
    assert not _imported("-c", f"import {module}") & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4
