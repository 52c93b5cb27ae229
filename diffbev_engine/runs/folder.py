"""The files of a run directory and their names."""

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
        """Who writes here; there while a training is under way."""
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

    def holds_a_run(self) -> bool:
        """Whether an earlier run left a checkpoint or metrics here."""
        return self.metrics.exists() or self.latest.exists() or bool(self.checkpoints())

    def set_aside(self, now: datetime, keep: Collection[Path] = ()) -> Path:
        """Move the files of an earlier run, but for ``keep``, into a dated subfolder for a new one."""
        archive = self.path / f"previous_{now:%Y%m%d_%H%M%S}"
        archive.mkdir()
        mine = [self.manifest, self.status, self.metrics, self.latest, self.best, self.launch]
        mine += [self.oom_report]
        mine += [path for _, path in self.checkpoints()]
        mine += [*self.path.glob("train_*.log"), *self.path.glob("console_*.log")]
        for path in mine:
            if path.exists() and path not in keep:
                path.rename(archive / path.name)
        return archive
