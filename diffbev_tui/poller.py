"""Polls a workspace: files, processes, control lock, GPUs; to be called from threads, one at a time each."""

from dataclasses import replace

from diffbev_engine.core.gpu.reading import GpuReading, read_gpus
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.gpu_history import GpuHistory
from diffbev_tui.snapshot import Sampler, Snapshot
from diffbev_tui.workspace_lock import WorkspaceLock


class WorkspacePoller:
    """Reads a workspace, and takes its control lock where that is allowed and free."""

    def __init__(self, roots: WorkspacePaths | None, *, read_only: bool) -> None:
        """Poll ``roots``.

        Args:
            roots: the workspace; ``None`` while there is none.
            read_only: never take the lock.
        """
        self._sampler = Sampler(roots)
        self._lock = WorkspaceLock(roots.state_folder) if roots is not None else None
        self._asked_read_only = read_only
        self.gpu_history = GpuHistory()
        self.newest: Snapshot | None = None
        """What was read last, for who cannot wait for a message."""

    @property
    def read_only(self) -> bool:
        """Whether nothing may be started, stopped or written."""
        return self._asked_read_only or (self._lock is not None and not self._lock.held)

    def read_files(self) -> Snapshot:
        """What the files of the workspace tell."""
        lock, owner = self._lock, ""
        if lock is not None and not self._asked_read_only and not lock.take():
            owner = lock.owner()
        snapshot = self._sampler.take(may_write=not self.read_only)
        self.newest = replace(snapshot, read_only=self.read_only, lock_owner=owner)
        return self.newest

    def read_gpus(self) -> GpuReading:
        """What the driver tells; the history grows."""
        reading = read_gpus()
        self.gpu_history.add(reading)
        return reading

    def close(self) -> None:
        """Let others act."""
        if self._lock is not None:
            self._lock.leave()
