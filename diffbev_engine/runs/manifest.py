"""``run.json``: what was started, from which configuration, by which versions, where."""

import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from diffbev_engine import __version__
from diffbev_engine.core.files import write_text
from diffbev_engine.core.secrets import masked_command
from diffbev_engine.core.state_file import Decoded, decode_file
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import current_launch
from diffbev_engine.runs.process import ProcessIdentity, identify

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pydantic", "nuscenes-devkit")


@dataclass(frozen=True)
class RecordedArguments:
    """The arguments of ``diffbev-engine train``."""

    config: str
    gpu_ids: tuple[int, ...] = ()
    overrides: tuple[str, ...] = ()
    anyway: bool = False
    """Whether preconditions that were not met were overruled."""


@dataclass(frozen=True)
class TrainingData:
    """The images that a run is trained with."""

    images: int
    digest: str
    """Of their tokens, in order."""

    @classmethod
    def of(cls, tokens: Iterable[str]) -> "TrainingData":
        """That of a training split."""
        found = list(tokens)
        return cls(len(found), hashlib.sha256("\n".join(found).encode()).hexdigest()[:16])


@dataclass(frozen=True)
class Manifest:
    """What readers want to know of ``run.json``; the file holds more."""

    started: str = ""
    """ISO 8601."""
    cwd: str = "."
    config_path: str | None = None
    arguments: RecordedArguments | None = None
    """``None`` for a run that was started from Python."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved settings."""
    devices: tuple[str, ...] = ()
    world_size: Annotated[int, Meta(ge=1, le=2**16)] = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of this program and of the packages that can change a result."""
    data: TrainingData | None = None
    """``None`` in files of earlier versions."""
    process: ProcessIdentity | None = None
    launch: str | None = None
    """The detached start that the process belongs to."""

    @property
    def started_at(self) -> float:
        """When the newest start wrote the file, as Unix time; 0 if it does not say."""
        try:
            return datetime.fromisoformat(self.started).timestamp()
        except (ValueError, OverflowError, OSError):
            return 0.0

    def setting(self, key: str) -> Any:
        """The setting ``a.b``; ``None`` where there is none."""
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def decode_manifest(folder: RunFolder) -> Decoded[Manifest]:
    """``run.json``, or what is wrong with the file."""
    return decode_file(folder.manifest, Manifest)


def read_manifest(folder: RunFolder) -> Manifest | None:
    """``run.json``; ``None`` if it is missing or damaged."""
    return decode_manifest(folder).value


def write_manifest(
    path: Path,
    *,
    config_path: str,
    config: Mapping[str, Any],
    seed: int,
    devices: Sequence[str],
    world_size: int,
    resumed_from: str | None,
    data: TrainingData | None = None,
    arguments: Mapping[str, Any] | None = None,
    overruled: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write ``run.json``; on resume it describes the newest start.

    ``arguments`` are those of ``diffbev-engine train``, ``None`` for settings made in Python.
    ``overruled`` are the findings at error level of a start with ``--anyway``.
    """
    manifest = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": masked_command(sys.argv),
        "cwd": str(Path.cwd()),
        "config_path": config_path,
        "arguments": arguments,
        "anyway": overruled is not None,
        "overruled": list(overruled or ()),
        "config": config,
        "seed": seed,
        "resumed_from": resumed_from,
        "data": asdict(data) if data else None,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "pid_started": process_start_time(os.getpid()),
        "process": asdict(identify()),
        "launch": current_launch(),
        "devices": list(devices),
        "world_size": world_size,
        "versions": all_versions(),
        "git": git_state(Path(__file__).parent),
    }
    write_text(path, json.dumps(manifest, indent=1, default=str) + "\n")


def process_start_time(pid: int) -> float:
    """Unix time at which process ``pid`` started; with the pid it names a process for good."""
    import psutil

    return float(psutil.Process(pid).create_time())


def all_versions() -> dict[str, str]:
    """Of this program and of the packages that can change a result."""
    return {"diffbev": __version__, **package_versions()}


def package_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Versions of those packages that are installed; by default of those that can change a result."""
    from importlib import metadata  # slow to import; those who only read run.json do without

    versions = {}
    for name in names:
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
