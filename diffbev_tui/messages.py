"""What screens ask of the app, and what its threads answer.

Messages go up, attributes go down: nothing below the app knows it.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from textual.message import Message

from diffbev_engine.core.gpu.reading import GpuReading
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.detached_process import DetachedProcess
from diffbev_tui.fixes import Fix
from diffbev_tui.snapshot import Snapshot

Severity = Literal["information", "warning", "error"]


@dataclass
class Say(Message):
    """Show a toast; an error also rings the bell."""

    text: str
    severity: Severity = "information"


@dataclass
class Copy(Message):
    """Put text on the clipboard."""

    text: str


@dataclass
class ShowScreen(Message):
    """Go to a screen, with what it says of a run."""

    name: str
    run: str = ""
    """Path of its directory, on the log screen also of a log; the current one by default."""
    step: str = ""
    """To choose there."""
    action: str = ""
    """To do there."""


@dataclass
class RunFix(Message):
    """Preview a fix or a command; then run it, or copy it where this program cannot."""

    fix: Fix


@dataclass
class FollowCommand(Message):
    """Show the progress of a command on every screen; the one that started it tells how it ended."""

    process: DetachedProcess


@dataclass
class OfferFixes(Message):
    """Look for what can be done about a run, and let one be chosen."""

    run: str
    """Path of its directory."""


@dataclass
class SendTestNotification(Message):
    """To everybody whom ``[notify]`` of the workspace names."""


@dataclass
class Overlay(Message):
    """Overlay these runs in the charts; none: the usual ones."""

    runs: tuple[str, ...] = ()


@dataclass
class PollNow(Message):
    """Something was changed: read the workspace again."""


@dataclass
class OpenWorkspace(Message):
    """Leave the welcome screen for a workspace."""

    roots: WorkspacePaths


@dataclass
class Prefer(Message):
    """Change preferences, now and for the next start."""

    choices: dict[str, Any] = field(default_factory=dict)


@dataclass
class SnapshotTaken(Message):
    """The workspace was polled."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        """Only the newest counts."""
        return isinstance(message, SnapshotTaken)


@dataclass
class GpusRead(Message):
    """The driver has answered."""

    reading: GpuReading


@dataclass
class RunStopped(Message):
    """The run that was to be stopped before leaving has ended."""

    stopped: object
