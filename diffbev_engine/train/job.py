"""What one start of a run is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.config.settings import Settings


@dataclass(frozen=True)
class TrainingJob:
    """One start of one run."""

    settings: Settings
    config_path: str
    work_dir: Path
    gpu_ids: Sequence[int] = ()
    resume: bool = False
    resume_from: Path | None = None
    """A checkpoint to resume from; ``None``: the newest of the work dir that can be used."""
    overrides: Sequence[str] | None = None
    """``--set`` arguments that made the settings; ``None`` for settings made in Python."""
    anyway: bool = False
    """Start although a precondition is not met."""
    requeue: bool = False
    """Put the SLURM job back into the queue when its time limit is announced."""
    watched: bool = False
    """Start a process that records the machine and tells what happens to the run; see ``runs.watch``."""

    @property
    def resuming(self) -> bool:
        """Whether an earlier run is to be continued."""
        return self.resume or self.resume_from is not None
