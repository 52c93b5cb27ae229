"""A synthetic workspace with everything done up to the smoke test."""

import subprocess
from pathlib import Path

from diffbev_engine.core.bilingual import Language
from diffbev_engine.core.errors import DiffBEVError
from diffbev_tui.detached_process import DetachedProcess, start_or_find
from diffbev_tui.engine import engine_command

_LOG = "setup.log"


def make_demo(out: Path) -> Path:
    """Make the world and the workspace below ``out`` and run phases 0 and 1; what is done is kept.

    Returns:
        The workspace.

    Raises:
        DiffBEVError: it failed, and has said why on the terminal.
    """
    if subprocess.run(engine_command("demo", "--out", out, "--setup-only"), check=False).returncode:
        raise DiffBEVError(f"the demo in {out} could not be set up; see above.")
    return demo_workspace(out)


def demo_workspace(out: Path) -> Path:
    """The workspace of the demo in ``out``."""
    return out / "DiffBEV"


def set_up_demo(out: Path, language: Language) -> DetachedProcess:
    """Set the demo in ``out`` up apart from the UI, or watch the set-up that is running there.

    Raises:
        OSError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = engine_command("demo", "--out", out, "--setup-only", "--lang", language)
    return start_or_find(command, out / _LOG, out)
