"""Background polling of a workspace: files, processes, control lock, GPUs."""

from collections.abc import Callable

from diffbev_engine.core.gpu import GpuReading, read_gpus
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.core.background import Background
from diffbev_tui.core.gpu_history import GpuHistory
from diffbev_tui.core.seat import Seat
from diffbev_tui.core.snapshot import Sampler, Snapshot


class Lookout:
    """Each look is a thread of its own; one that hangs holds up neither the UI nor the other."""

    def __init__(
        self, roots: WorkspacePaths | None, tell: Callable[[Snapshot], object], *, read_only: bool
    ) -> None:
        """Check ``roots``.

        Args:
            roots: the workspace; ``None`` while there is none.
            tell: called in the thread that looks, with every snapshot of the files.
            read_only: never take the seat.
        """
        self._sampler = Sampler(roots)
        self._seat = Seat(roots.state_folder) if roots is not None else None
        self._tell = tell
        self._asked_read_only = read_only
        self._files = Background(self._look_at_files)
        self._driver = Background(self._look_at_gpus)
        self.newest: Snapshot | None = None
        self.gpus = GpuReading()
        self.gpu_history = GpuHistory()
        self.seat_owner = ""
        """Who has the seat, if not this process."""

    @property
    def read_only(self) -> bool:
        """Whether nothing may be started, stopped or written."""
        return self._asked_read_only or (self._seat is not None and not self._seat.held)

    @property
    def busy_s(self) -> float:
        """Seconds that the current check of the files has taken."""
        return self._files.busy_s

    def look(self) -> None:
        """Check the files, unless the last check is still running."""
        self._files.start()

    def look_at_gpus(self) -> None:
        """Ask the driver, unless it still owes the last answer."""
        self._driver.start()

    def leave(self) -> None:
        """Let others act."""
        if self._seat is not None:
            self._seat.leave()

    def _look_at_files(self) -> None:
        seat = self._seat
        if seat is not None and not self._asked_read_only and not seat.take():
            self.seat_owner = seat.owner()
        self.newest = self._sampler.take()
        self._tell(self.newest)

    def _look_at_gpus(self) -> None:
        self.gpus = read_gpus()
        self.gpu_history.add(self.gpus)
