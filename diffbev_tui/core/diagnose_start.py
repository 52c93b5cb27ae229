"""Starting ``diagnose`` on a run: with the configuration and settings that it was trained with."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.errors import DiffBEVError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.survey import read_manifest
from diffbev_tui.core.diagnosis import checkpoint_of, folder_of
from diffbev_tui.core.engine import engine_command, start_apart
from diffbev_tui.core.log_tail import end_of

_PICTURES = 6


@dataclass(frozen=True)
class DiagnosePlan:
    """A command that can be started."""

    run: Path
    checkpoint: Path
    arguments: tuple[str, ...]
    cwd: Path
    on_cpu: bool


@dataclass(frozen=True)
class Diagnosing:
    """A diagnosis that goes on, with or without the UI."""

    plan: DiagnosePlan
    process: "subprocess.Popen[bytes]"
    log: Path
    since: float
    """Unix time."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it goes on."""
        return self.process.poll()

    @property
    def last_line(self) -> str:
        """What it said last."""
        return end_of(self.log)


def plan_diagnosis(run: Path, *, on_cpu: bool) -> DiagnosePlan:
    """The command for the best checkpoint of ``run``, else its newest.

    Args:
        run: its directory.
        on_cpu: leave the GPU to the training that uses it.

    Raises:
        DiffBEVError: the run has no checkpoint, or does not say how it was started.
    """
    checkpoint, manifest = checkpoint_of(run), read_manifest(RunFolder(run))
    if checkpoint is None:
        raise DiffBEVError(f"{run} has no checkpoint yet.")
    arguments = manifest.get("arguments")
    if not isinstance(arguments, dict):
        raise DiffBEVError(
            f"{run / 'run.json'} does not say with which configuration it was started. "
            f"Run `diffbev-engine diagnose --config CONFIG --checkpoint {checkpoint}`."
        )
    overrides = [word for one in arguments.get("overrides", ()) for word in ("--set", str(one))]
    return DiagnosePlan(
        run,
        checkpoint,
        (
            "diagnose",
            *("--config", str(arguments["config"]), "--checkpoint", str(checkpoint)),
            *("--output-dir", str(folder_of(run)), "--vis-num", str(_PICTURES)),
            *(("--device", "cpu") if on_cpu else ()),
            *overrides,
        ),
        Path(manifest.get("cwd", run)),
        on_cpu,
    )


def start_diagnosis(plan: DiagnosePlan, state_folder: Path) -> Diagnosing:
    """Start it in a session of its own; to be called from a thread.

    Raises:
        OSError: the log cannot be written, or the folder that the run was started in is gone.
    """
    log = state_folder / "logs" / f"diagnose_{plan.run.name}.log"
    log.unlink(missing_ok=True)
    since = time.time()
    return Diagnosing(plan, start_apart(engine_command(*plan.arguments), log, cwd=plan.cwd), log, since)
