"""A synthetic workspace with everything done up to the smoke test."""

import subprocess
from pathlib import Path

from diffbev_engine.errors import DiffBEVError
from diffbev_tui.core.engine import engine_command


def make_demo(out: Path) -> Path:
    """Make the world and the workspace below ``out`` and run phases 0 and 1; what is done is kept.

    Returns:
        The workspace.

    Raises:
        DiffBEVError: it failed, and has said why on the terminal.
    """
    if subprocess.run(engine_command("demo", "--out", out, "--setup-only"), check=False).returncode:
        raise DiffBEVError(f"the demo in {out} could not be set up; see above.")
    return out / "DiffBEV"
