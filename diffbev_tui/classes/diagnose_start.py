"""Starting ``diagnose`` on a run: with the configuration and settings that it was trained with."""

from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import read_manifest
from diffbev_tui.classes.diagnosis import checkpoint_of, folder_of
from diffbev_tui.detached_process import DetachedProcess, find_detached, start_or_find
from diffbev_tui.engine import engine_command

_PICTURES = 6


@dataclass(frozen=True)
class DiagnosePlan:
    """A command that can be started."""

    run: Path
    checkpoint: Path
    arguments: tuple[str, ...]
    cwd: Path
    on_cpu: bool


def plan_diagnosis(run: Path, *, on_cpu: bool) -> DiagnosePlan:
    """The command for the best checkpoint of ``run``, else its newest.

    Args:
        run: its directory.
        on_cpu: leave the GPU to the training that uses it.

    Raises:
        DiffBEVError: the run has no checkpoint, or does not state how it was started.
    """
    checkpoint, manifest = checkpoint_of(run), read_manifest(RunFolder(run))
    if checkpoint is None:
        raise DiffBEVError(f"{run} has no checkpoint yet.")
    arguments = manifest.arguments if manifest else None
    if manifest is None or arguments is None:
        raise DiffBEVError(
            f"{run / 'run.json'} does not say with which configuration it was started. "
            f"Run `diffbev-engine diagnose --config CONFIG --checkpoint {checkpoint}`."
        )
    overrides = [word for one in arguments.overrides for word in ("--set", one)]
    return DiagnosePlan(
        run,
        checkpoint,
        (
            "diagnose",
            *("--config", arguments.config, "--checkpoint", str(checkpoint)),
            *("--output-dir", str(folder_of(run)), "--vis-num", str(_PICTURES)),
            *(("--device", "cpu") if on_cpu else ()),
            *overrides,
        ),
        Path(manifest.cwd),
        on_cpu,
    )


def start_diagnosis(plan: DiagnosePlan, state_folder: Path) -> DetachedProcess:
    """Start it apart from the UI, or find the running one of this run; to be called from a thread.

    Raises:
        OSError: the log cannot be written, or the folder that the run was started in is gone.
    """
    return start_or_find(engine_command(*plan.arguments), _log(plan.run, state_folder), plan.cwd)


def going_on(run: Path, state_folder: Path) -> DetachedProcess | None:
    """The running diagnosis of ``run``, whoever started it."""
    return find_detached(_log(run, state_folder))


def _log(run: Path, state_folder: Path) -> Path:
    return state_folder / "logs" / f"diagnose_{run.name}.log"
