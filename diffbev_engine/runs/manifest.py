"""``run.json``: what was started, from which configuration, by which versions, where."""

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from diffbev_engine import __version__
from diffbev_engine.core.files import write_text
from diffbev_engine.runs.lock import current_launch
from diffbev_engine.runs.process import identify

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pydantic", "nuscenes-devkit")


def write_manifest(
    path: Path,
    *,
    config_path: str,
    config: Mapping[str, Any],
    seed: int,
    devices: Sequence[str],
    world_size: int,
    resumed_from: str | None,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Write ``run.json``; on resume it describes the newest start.

    ``arguments`` are those of ``diffbev-engine train``, ``None`` for settings made in Python.
    """
    manifest = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "cwd": str(Path.cwd()),
        "config_path": config_path,
        "arguments": arguments,
        "config": config,
        "seed": seed,
        "resumed_from": resumed_from,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "pid_started": process_start_time(os.getpid()),
        "process": asdict(identify()),
        "launch": current_launch(),
        "devices": list(devices),
        "world_size": world_size,
        "versions": {"diffbev": __version__, **package_versions()},
        "git": git_state(Path(__file__).parent),
    }
    write_text(path, json.dumps(manifest, indent=1, default=str) + "\n")


def process_start_time(pid: int) -> float:
    """Unix time at which process ``pid`` started; with the pid it names a process for good."""
    import psutil

    return float(psutil.Process(pid).create_time())


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a result."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and dirtiness of the checkout that tracks ``folder``; ``None`` for an installed package."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or not _git(folder, "ls-files", "."):
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
