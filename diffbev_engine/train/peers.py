"""What the processes of a run tell each other, and when one of them no longer takes part.

A collective cannot tell a process that is slow from one that is gone; this can:

- one that was killed or crashed on this machine is noticed at once, one that failed tells why;
- one that does not respond (suspended, its machine gone) is lost after half the limit;
- one that responds, but has computed an iteration, or kept the others waiting for its data or its
  evaluation for three fifths of the limit is lost too, unless it usually takes a tenth of that or more.
  The first times of each are not limited, for they may compile, tune and start loader processes.
  Nor is starting, or writing a log or a checkpoint.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from diffbev_engine.core.errors import DiffBEVError, ExitCode
from diffbev_engine.core.format import duration
from diffbev_engine.runs.process import ProcessIdentity

_NEARLY = 3 / 4
"""Share of its time after which others may be waiting for a process, once the time of one is up."""


class Activity(str, Enum):
    """What a process is busy with."""

    STARTING = "starting"
    LOADING = "loading the data of iteration {}"
    STEPPING = "computing iteration {}"
    STARTING_EVALUATION = "starting the evaluation of iteration {}"
    EVALUATING = "evaluating, after {} images"
    RECORDING = "recording iteration {}"
    SAVING = "writing checkpoints"
    LEAVING = "leaving"
    WAITING = "waiting for the other processes"
    """Never the one that holds up the others."""


@dataclass(frozen=True)
class Doing:
    """What a process does since when; one object, so that another thread never sees half of a change."""

    activity: Activity = Activity.STARTING
    words: str = Activity.STARTING.value
    since: float = field(default_factory=time.monotonic)

    @property
    def for_s(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.since


@dataclass(frozen=True)
class Beat:
    """What a process tells about itself."""

    number: int
    process: ProcessIdentity
    activity: Activity
    words: str
    for_s: float
    limit_s: float | None
    """How long the activity may take; ``None``: as long as it takes."""
    computed: bool | None
    """Whether it has done its own part of the iteration, and needs gradients of others; if that is known."""
    left: bool
    """Whether the process has nothing left to do but to end."""

    @property
    def nearly_too_long(self) -> bool:
        """Whether it has computed for most of its time."""
        return self.activity is Activity.STEPPING and self.for_s > _NEARLY * (self.limit_s or math.inf)


@dataclass(frozen=True)
class Loss:
    """A process that no longer takes part."""

    rank: int | None
    """``None`` where it cannot be told which."""
    message: str
    exit_code: int = int(ExitCode.FAILED)
    responds: bool = False
    """Whether it can still save and end by itself."""


class LostProcessError(DiffBEVError):
    """Another process of the run no longer takes part."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.message)
        self.exit_code = ExitCode(loss.exit_code)


@dataclass
class Peer:
    """A process as it is seen from this one."""

    rank: int
    beat: Beat | None = None
    changed: float = field(default_factory=time.monotonic)
    """When its last beat arrived here: clocks of other machines are not compared."""

    @property
    def left(self) -> bool:
        """Whether it has nothing left to do but to end."""
        return self.beat is not None and self.beat.left

    @property
    def dead(self) -> bool:
        """Whether it has ended on this machine."""
        return self.beat is not None and self.beat.process.ended

    @property
    def silence_s(self) -> float:
        """Time since its last beat."""
        return time.monotonic() - self.changed

    @property
    def words(self) -> str:
        """What it was doing last."""
        return self.beat.words if self.beat else Activity.STARTING.value


class Peers:
    """All processes of a run, this one too."""

    def __init__(self, world_size: int) -> None:
        self._peers = [Peer(rank) for rank in range(world_size)]
        self._looked = time.monotonic()

    def __getitem__(self, rank: int) -> Peer:
        return self._peers[rank]

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers)

    def update(self, beats: dict[int, Beat], interval_s: float) -> None:
        """Take the beats that were read, as is done every ``interval_s``."""
        now = time.monotonic()
        if now - self._looked > 3 * interval_s + 2:  # this process or its machine was suspended
            for peer in self._peers:
                peer.changed = now
        self._looked = now
        for rank, beat in beats.items():
            peer = self._peers[rank]
            if peer.beat is None or beat.number != peer.beat.number:
                peer.beat, peer.changed = beat, now

    def ended(self) -> list[Peer]:
        """Those that have ended on this machine without having left."""
        return [peer for peer in self._peers if peer.dead and not peer.left]

    def judge(self, limit_s: float) -> Loss | None:
        """The process that was lost, if one was; the most certain reason first."""
        for peer in self.ended():
            return Loss(peer.rank, f"{self.name(peer.rank)} was killed or crashed, {peer.words}.")
        here = [peer for peer in self._peers if not peer.left]
        for peer in here:
            if peer.silence_s > limit_s / 2:
                suspended = peer.beat is not None and peer.beat.process.suspended
                how = "was suspended (SIGSTOP)" if suspended else "has not responded"
                words = f"{self.name(peer.rank)} {how} for {duration(peer.silence_s)}, {peer.words}."
                return Loss(peer.rank, words)
        slow = _hanging(here)
        for rank, beat in slow:
            words = f"{self.name(rank)} hangs: {beat.words} for {duration(beat.for_s)}."
            if others := [str(other) for other, _ in slow if other != rank]:
                words = (
                    words.removesuffix(".") + f", as rank {', '.join(others)} does; one waits for the other."
                )
            return Loss(rank, words, responds=True)
        return None

    def name(self, rank: int) -> str:
        """Which process that is, in words."""
        beat = self._peers[rank].beat
        where = f" (pid {beat.process.pid} on {beat.process.host})" if beat else ""
        return f"rank {rank} of {len(self._peers)}{where}"


def _hanging(peers: list[Peer]) -> list[tuple[int, Beat]]:
    """Ranks that take too long, and keep the others waiting; several where it cannot be told which.

    All that compute begin at about the same time.  Where the time of one is up, whoever has computed for
    nearly as long may be the one that it waits for: in a forward pass, too, they wait for each other.
    """
    beats = [(peer.rank, peer.beat) for peer in peers if peer.beat]
    waiting = any(beat.activity is Activity.WAITING for _, beat in beats)
    slow = [
        (rank, beat)
        for rank, beat in beats
        if beat.limit_s is not None and beat.for_s > beat.limit_s
        if waiting or beat.activity is Activity.STEPPING
    ]
    if any(beat.activity is Activity.STEPPING for _, beat in slow):
        known = {rank for rank, _ in slow}
        slow += [(rank, beat) for rank, beat in beats if rank not in known and beat.nearly_too_long]
    return [(rank, beat) for rank, beat in slow if not beat.computed] or slow
