"""A synthetic workspace with everything done up to the smoke test."""

import subprocess
from pathlib import Path

from diffbev_engine.errors import DiffBEVError
from diffbev_tui.core.engine import engine_command

_READY = ".diffbev/demo_ready"


def make_demo(out: Path) -> None:
    """Make the world and the workspace below ``out`` and run phases 0 and 1; what is done is kept.

    Raises:
        DiffBEVError: a command failed; it has said why on the terminal.
    """
    if (out / _READY).exists():
        return
    world = out / "nuScenes"
    for arguments in (
        ("synth", world, "--version", "v1.0-trainval", "--scenes", "20"),
        ("init", out, "--nuscenes-root", world, "--demo"),
        ("runbook", "run", out, "--phase", "0"),
        ("runbook", "run", out, "--phase", "1"),
    ):
        command = engine_command(*arguments)
        if subprocess.run(command, check=False).returncode:
            raise DiffBEVError(f"the demo stopped: `diffbev-engine {' '.join(map(str, arguments))}` failed.")
    (out / _READY).touch()
