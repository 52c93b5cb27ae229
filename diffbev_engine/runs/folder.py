"""The files of a run directory and their names."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_ITERATION_CHECKPOINT = re.compile(r"iter_(\d+)\.pth")


@dataclass(frozen=True)
class RunFolder:
    """A run directory; nothing is read or created until asked for."""

    path: Path

    @property
    def manifest(self) -> Path:
        """What was started, from which configuration, on which machine."""
        return self.path / "run.json"

    @property
    def status(self) -> Path:
        """What the run is doing now."""
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        """One row a logged step or evaluation."""
        return self.path / "metrics.csv"

    @property
    def latest(self) -> Path:
        """The newest checkpoint."""
        return self.path / "latest.pth"

    @property
    def best(self) -> Path:
        """The checkpoint with the best mIoU."""
        return self.path / "best_mIoU.pth"

    @property
    def lock(self) -> Path:
        """Who writes here; there while a run is under way."""
        return self.path / "run.lock"

    @property
    def launch(self) -> Path:
        """The newest detached start and how it ended."""
        return self.path / "launch.json"

    @property
    def stop_request(self) -> Path:
        """Which process was asked to stop, by whom."""
        return self.path / "stop.json"

    @property
    def oom_report(self) -> Path:
        """What there is to say after the GPU ran out of memory; of the newest start."""
        return self.path / "oom_report.json"

    @property
    def system(self) -> Path:
        """GPUs, host memory and disk over the whole run."""
        return self.path / "system.csv"

    @property
    def alerts(self) -> Path:
        """What went wrong or right, and when."""
        return self.path / "alerts.jsonl"

    @property
    def labels(self) -> Path:
        """What people call it: letter, tags, note."""
        return self.path / "labels.json"

    @property
    def slurm(self) -> Path:
        """The SLURM job that trains here."""
        return self.path / "slurm.json"

    def tracker(self, name: str) -> Path:
        """What the tracker of that name has been sent."""
        return self.path / f"tracker_{name}.json"

    def tracker_log(self, name: str) -> Path:
        """What the process that feeds it has to say."""
        return self.path / f"tracker_{name}.log"

    @property
    def failed_start(self) -> Path:
        """Why the newest start failed before training began; the files of the run before it are intact."""
        return self.path / "failed_start.json"

    def console(self, started: datetime) -> Path:
        """What the detached start at ``started`` wrote to stdout and stderr."""
        return self.path / f"console_{started:%Y%m%d_%H%M%S}.log"

    def checkpoint(self, iteration: int) -> Path:
        """The checkpoint written after ``iteration`` optimizer steps."""
        return self.path / f"iter_{iteration}.pth"

    def log(self, started: datetime) -> Path:
        """The log of the start at ``started``."""
        return self.path / f"train_{started:%Y%m%d_%H%M%S}.log"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(iteration, path) of every ``iter_<n>.pth``, oldest first."""
        found = ((_ITERATION_CHECKPOINT.fullmatch(path.name), path) for path in self.path.glob("iter_*.pth"))
        return sorted((int(match[1]), path) for match, path in found if match)

    def checkpoint_files(self) -> list[Path]:
        """Every name under which there is a checkpoint, sound or not: latest, newest first, best."""
        newest_first = [path for _, path in reversed(self.checkpoints())]
        return [path for path in (self.latest, *newest_first, self.best) if os.path.lexists(path)]

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint under any name; a resume verifies it."""
        return bool(self.checkpoint_files())

    def holds_a_run(self) -> bool:
        """Whether an earlier run left a checkpoint or metrics here."""
        return self.metrics.exists() or self.has_checkpoint()

    def is_written_by_training(self, name: str) -> bool:
        """Whether the holder of the lock is the only one to write a file of this name here."""
        fixed = (self.manifest, self.status, self.metrics, self.latest, self.best, self.oom_report)
        return name in {path.name for path in (*fixed, self.failed_start)} or bool(
            _ITERATION_CHECKPOINT.fullmatch(name)
        )

    def earlier_runs(self) -> list[Path]:
        """The directories of runs that later starts have moved away, newest first."""
        return sorted((path for path in self.path.glob("previous_*") if path.is_dir()), reverse=True)

    def set_aside(self, now: datetime, keep: Collection[Path] = ()) -> Path:
        """Move the files of an earlier run, but for ``keep``, into a dated subdirectory for a new one."""
        archive = self.path / f"previous_{now:%Y%m%d_%H%M%S}"
        while archive.exists():  # another start in the same second
            archive = archive.with_name(f"{archive.name}_2")
        archive.mkdir()
        mine = [self.manifest, self.status, self.metrics, self.launch, self.oom_report, self.failed_start]
        mine += [self.system, self.alerts]
        mine += self.checkpoint_files()
        mine += [*self.path.glob("train_*.log"), *self.path.glob("console_*.log")]
        mine += self.path.glob("metrics.*_*.csv")
        mine += [*self.path.glob("tracker_*.json"), *self.path.glob("tracker_*.log")]
        mine += [self.path / name for name in ("tensorboard", "wandb", "swanlog")]
        for path in mine:
            if os.path.lexists(path) and path not in keep:
                path.rename(archive / path.name)
        return archive
