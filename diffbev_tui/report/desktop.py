"""The viewer of the desktop, where there is one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def viewer(environment: Mapping[str, str] = os.environ) -> str | None:
    """The program that opens a file with what the desktop has for it; ``None`` without a desktop."""
    if sys.platform == "darwin":
        return shutil.which("open")
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return None
    return shutil.which("xdg-open", path=environment.get("PATH"))


def open_on_desktop(program: str, path: Path) -> None:
    """Open ``path`` in a process of its own, silently.

    Raises:
        OSError: the program cannot be started.
    """
    subprocess.Popen(
        [program, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
