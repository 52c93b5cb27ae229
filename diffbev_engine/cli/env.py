"""``diffbev-engine env``."""

import json
import os
import platform
import sys
from typing import Any

import click

from diffbev_engine.cli.options import json_option
from diffbev_engine.core.cores import usable_cores
from diffbev_engine.core.format import gib

_UI_PACKAGES = ("textual", "plotext", "textual-image")
_SHOWN = ("TERM", "COLORTERM", "LANG", "LC_ALL", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
_TOLD = ("TMUX", "SSH_CONNECTION", "SLURM_JOB_ID", "CONDA_PREFIX", "VIRTUAL_ENV")
"""Variables of which only it is told whether they are set: they hold paths, addresses and names."""


@click.command(short_help="Describe this environment, for bug reports.")
@json_option
def command(as_json: bool) -> None:
    """Versions, hardware and terminal, for bug reports: without user names, host names and paths."""
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {_in_words(value)}")


def _facts() -> dict[str, Any]:
    from diffbev_engine.core.gpu.reading import read_gpus
    from diffbev_engine.core.host_memory import host_memory
    from diffbev_engine.findings.compiler import missing_for_compile
    from diffbev_engine.runs.manifest import all_versions, package_versions

    reading, memory = read_gpus(), host_memory()
    return {
        "versions": all_versions() | package_versions(_UI_PACKAGES),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": usable_cores(),
        "memory_mib": round(memory.total),
        "memory_limited": memory.limited,
        "gpus": [f"{gpu.name}, {gib(gpu.total_mib)} GiB" for gpu in reading.gpus],
        "gpu_problem": reading.problem.en,
        "driver": reading.driver,
        "compiler": not missing_for_compile(on_gpu=bool(reading.gpus)),
        "terminal": sys.stdout.isatty(),
        "encoding": sys.stdout.encoding,
        "variables": {name: os.environ[name] for name in _SHOWN if name in os.environ},
        "set": [name for name in _TOLD if os.environ.get(name)],
    }


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items()) or "–"
    if isinstance(value, list):
        return "; ".join(value) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)
