"""Stand-ins for trainings: real processes that lock, heed signals and write files, without torch."""

import subprocess
import sys
from pathlib import Path

from diffbev_engine.runs.folder import RunFolder

_PRETEND = """
import sys, time
from pathlib import Path
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import sole_writer
from diffbev_engine.runs.manifest import write_manifest
from diffbev_engine.runs.status import RunState, StatusWriter
from diffbev_engine.train.signals import stop_on_signals

folder = RunFolder(Path(sys.argv[1]))
slow_save, leave = float(sys.argv[2]), sys.argv[3]
with sole_writer(folder), stop_on_signals() as stop:
    status, step = StatusWriter(folder.status, 1000, interval_s=0), 0
    write_manifest(folder.manifest, config_path="pretend", config={"seed": 0}, seed=0, devices=[],
                   world_size=1, resumed_from=None)
    print("training", flush=True)
    while not stop:
        step += 1
        status.update(state=RunState.TRAINING, step=step)
        time.sleep(0.02)
    time.sleep(slow_save)
    folder.checkpoint(step).touch()
    folder.latest.touch()
    status.update(state=RunState.INTERRUPTED, message=f"stopped by {stop.signal_name}")
    while leave and not Path(leave).exists():
        time.sleep(0.02)
sys.exit(5)
"""


def pretend_training(folder: RunFolder, slow_save: float = 0.0, leave: Path | str = "") -> list[str]:
    """A process that behaves like a training; having told its end, it goes once ``leave`` is there."""
    return [sys.executable, "-c", _PRETEND, str(folder.path), str(slow_save), str(leave)]


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start Python code as a process with its output in a pipe."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    """What a directory holds, and when each file was written."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}
