"""The command line answers at once: help imports nothing heavy."""

import subprocess
import sys

HEAVY = {"torch", "torchvision", "timm", "nuscenes", "matplotlib", "cv2", "scipy", "numpy", "pydantic"}
LIGHT = ["diffbev_engine", "diffbev_tui", "diffbev_engine.runs.folder", "diffbev_engine.runs.status"]

# One process asks for the help of every command, and names the first after which something heavy is there.
_EVERY_HELP = f"""
import sys
import click
from click.testing import CliRunner
from diffbev_engine.cli.main import cli

def leaves(command, *names):
    yield command, names
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from leaves(command.get_command(click.Context(command), name), *names, name)

count = 0
for command, names in leaves(cli):
    result = CliRunner().invoke(cli, [*names, "--help"])
    assert result.exit_code == 0, (names, result.output)
    assert len(result.output.splitlines()) > 4, (names, result.output)
    found = {HEAVY} & {{name.split(".")[0] for name in sys.modules}}
    assert not found, f"{{names}} imports {{found}}"
    count += 1
print(count)
"""


def test_every_command_explains_itself_and_imports_nothing_heavy_for_it():
    done = subprocess.run([sys.executable, "-c", _EVERY_HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_light_rooms_import_nothing_heavy():
    for modules in (["diffbev_engine.__main__"], LIGHT):
        imports = "; ".join(f"import {module}" for module in modules)
        code = f"import sys; {imports}; print(*{{name.split('.')[0] for name in sys.modules}})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "diffbev_engine" in done.stdout
        assert not set(done.stdout.split()) & HEAVY, modules
