"""What the files of a run directory say about its newest start, and what is wrong with them."""

import math
from dataclasses import dataclass, replace

from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, decode_launch
from diffbev_engine.runs.lock import Owner, decode_owner
from diffbev_engine.runs.manifest import Manifest, decode_manifest
from diffbev_engine.runs.process import ProcessIdentity
from diffbev_engine.runs.status import FINAL_STATES, RunStatus, decode_status
from diffbev_engine.runs.stop_request import asked_to_stop


@dataclass(frozen=True)
class Evidence:
    """The state files of one run directory."""

    folder: RunFolder
    manifest: Manifest
    status: RunStatus | None
    launch: Launch | None
    owner: Owner | None
    damaged: tuple[str, ...]
    """Problems of files that are there but cannot be used."""

    @property
    def newest_launch(self) -> Launch | None:
        """The detached start, unless a later start in the foreground has followed it."""
        launch = self.launch
        if launch is None or (self._owner_lives and self.owner and self.owner.launch != launch.id):
            return None
        if self.manifest.launch == launch.id:
            return launch
        return launch if launch.started > self.manifest.started_at else None

    @property
    def _owner_lives(self) -> bool:
        return self.owner is not None and self.owner.process.alive

    @property
    def current_status(self) -> RunStatus | None:
        """The status, if the newest start wrote it."""
        status, launch, owner = self.status, self.newest_launch, self.owner
        if status is None:
            return None
        if status.process is None:  # of an older version, which only left the time
            return status if status.updated >= self.newest_start else None
        if launch is not None:
            return status if status.launch == launch.id else None
        if owner is not None and self._owner_lives:
            by_owner = status.process == owner.process or (owner.launch and status.launch == owner.launch)
            return status if by_owner else None
        return status

    @property
    def last_word(self) -> RunStatus | None:
        """The status of a start that told its own end."""
        status = self.current_status
        return status if status is not None and status.state in FINAL_STATES else None

    @property
    def newest_start(self) -> float:
        """When the newest known start began; older evidence belongs to an earlier one."""
        launched = self.newest_launch.started if self.newest_launch else 0.0
        return max(launched, self.owner.since if self.owner and self._owner_lives else 0.0)

    def processes(self) -> list[ProcessIdentity]:
        """Candidates for the training process, most certain first."""
        launch = self.newest_launch
        named = (
            self.manifest.process if launch is None or self.manifest.launch == launch.id else None,
            launch.process if launch else None,
            self.owner.process if self.owner else None,
        )
        return [process for process in named if process]

    def living_process(self) -> ProcessIdentity | None:
        """The training, if it runs on this machine."""
        return next((process for process in self.processes() if process.alive), None)

    def stop_requested(self, process: ProcessIdentity | None) -> bool:
        """Whether ``process`` was asked to save and stop."""
        return process is not None and asked_to_stop(self.folder, process)


def gather(folder: RunFolder) -> Evidence:
    """Read the state files of a run directory; none of them is required, none can make this fail."""
    manifest, status = decode_manifest(folder), decode_status(folder.status)
    launch, owner = decode_launch(folder), decode_owner(folder)
    problems = (found.problem for found in (manifest, status, launch, owner))
    damaged = tuple(plain(problem) for problem in problems if problem)
    said = _printable(status.value) if status.value else None
    return Evidence(folder, manifest.value or Manifest(), said, launch.value, owner.value, damaged)


def _printable(status: RunStatus) -> RunStatus:
    """Without control characters, and without numbers that JSON does not have."""
    return replace(
        status,
        message=plain(status.message, keep="\n"),
        evaluated=plain(status.evaluated) if status.evaluated else None,
        last_checkpoint=plain(status.last_checkpoint) if status.last_checkpoint else None,
        last_miou=_finite(status.last_miou),
        best_miou=_finite(status.best_miou),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
