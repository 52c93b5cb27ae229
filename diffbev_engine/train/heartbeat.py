"""Heartbeats between the training processes: one that is lost ends the run on all of them.

A thread of each process writes what the main thread does to the store through which torchrun has
connected them, reads what the others do (``peers``), and ends the process where its main thread is
blocked by the one that was lost.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from statistics import median

from torch import distributed

from diffbev_engine.core.errors import DiffBEVError, ExitCode, first_line
from diffbev_engine.core.state_file import convert
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.process_signals import kill_tree
from diffbev_engine.runs.stall import STEPS
from diffbev_engine.train.peers import Activity, Beat, Doing, Loss, LostProcessError, Peers

_LIMITED = (Activity.LOADING, Activity.STEPPING, Activity.EVALUATING)
_UNLIMITED_TIMES = 5
_REMEMBERED = 51
_GRACE = 1 / 12
"""Share of the limit that a main thread has to notice a loss by itself."""
_LONGEST_WRITE_S = 600.0
"""How long the others wait for the process that saves."""


class Heartbeat:
    """The heartbeat of this process, and what it makes of the others'."""

    def __init__(self, rank: int, world_size: int, limit_s: float) -> None:
        """Connect to the store and begin.

        Args:
            rank: of this process.
            world_size: number of processes.
            limit_s: when all others have ended after one was lost, apart from the time that writing
                a checkpoint takes.
        """
        self.loss: Loss | None = None
        self.rescue: Callable[[DiffBEVError], DiffBEVError] = lambda error: error
        """Saves, and records the end of the run, in place of the main thread; returns what to tell."""
        self.has_computed: Callable[[], bool] = lambda: False
        """Whether this process has done its own part of the iteration; may block for ever."""
        self._rank, self._limit_s = rank, limit_s
        self._interval_s = min(1.0, limit_s / 20)
        self._store = _connect(limit_s)
        self._identity = identify()
        self._peers = Peers(world_size)
        self._doing = Doing()
        self._times: dict[Activity, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._beats = 0
        self._computed: bool | None = None
        self._reached_store = self._lost_at = time.monotonic()
        self._claim = threading.RLock()
        self._claimed_at: float | None = None
        self._stands_in = False
        self._left_at: float | None = None
        self._failure: DiffBEVError | None = None
        self._may_end = threading.Event()
        self._write_beat()
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    # For the main thread

    def now(self, activity: Activity, of: object = "") -> None:
        """Note what the main thread begins to do; ``of`` completes the words."""
        before, self._doing = self._doing, Doing(activity, activity.value.format(of))
        self._times[before.activity].append(self._doing.since - before.since)

    def wait(self, work: distributed.Work) -> None:
        """Wait for a collective on host memory, as long as all processes take part.

        Raises:
            LostProcessError: one does not; the caller has to save and to leave.
        """
        before, self._doing = self._doing, Doing(Activity.WAITING, Activity.WAITING.value)
        while True:
            self.check()
            try:
                work.wait(timedelta(seconds=self._interval_s))
                break
            except RuntimeError as error:
                if work.is_completed():  # it is not the time that has run out
                    raise self.explain(error) from error
        self._doing = replace(before, since=before.since + self._doing.for_s)

    def check(self) -> None:
        """Return if all processes take part.

        Raises:
            LostProcessError: one does not; the caller has to save and to leave.
        """
        if self.loss:
            self._claim_or_stop()
            raise LostProcessError(self.loss)

    def explain(self, error: BaseException) -> LostProcessError:
        """Which process was lost, after an ``error`` of a connection; the caller has to save and to leave."""
        deadline = time.monotonic() + 5 * self._interval_s
        while self.loss is None and time.monotonic() < deadline:
            time.sleep(self._interval_s / 10)
        loss = self._lose(Loss(None, f"The connection to another process broke: {first_line(error)}."))
        self._claim_or_stop()
        return LostProcessError(loss)

    def leave(self, error: BaseException | None) -> None:
        """Return when this process may end: not before the one that saves has.

        Once one process has ended, torchrun ends the others, after 30 s by force.
        """
        self._claim_or_stop()
        if error is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is saved; why it ends is still to be told
        self._part(error)

    def _part(self, error: BaseException | None) -> None:
        if error is not None:
            words = f"{type(error).__name__}: {error}"
            self._failure = error if isinstance(error, DiffBEVError) else DiffBEVError(words)
        self._left_at = time.monotonic()
        self._may_end.wait()

    def _claim_or_stop(self) -> None:
        """Become the one thread that saves and leaves; where another already is, this one stops here."""
        if not self._claim.acquire(blocking=False):
            threading.Event().wait()
        self._claimed_at = self._claimed_at or time.monotonic()

    # The thread

    def _run(self) -> None:
        while not self._may_end.is_set():
            time.sleep(self._interval_s / (1 if self._left_at is None else 5))
            try:
                self._exchange()
                self._reached_store = time.monotonic()
            except (RuntimeError, OSError, ValueError) as error:
                self._reconnect(error)
            if self.loss and self._left_at is None and not self._stands_in:
                self._stand_in()
            if self._left_at is not None and self._may_go(self._left_at):
                self.end_lost()
                self._may_end.set()

    def _exchange(self) -> None:
        """Write what this process does, and read what the others do."""
        if self._failure and self.loss is None and self._failure.exit_code != ExitCode.INTERRUPTED:
            told = f"{self._peers.name(self._rank)} failed: {self._failure}"
            self._agree(Loss(self._rank, told, int(self._failure.exit_code), responds=True))
        self._write_beat()
        self._read_beats()
        if self.loss is None and self._store.check([_key("loss")]):
            self._lose(Loss(**json.loads(self._store.get(_key("loss")))))
        if self.loss is None and self._left_at is None:
            if self._peers.ended():
                self._read_beats()  # it may have left just before
            if loss := self._peers.judge(self._limit_s):
                self._agree(loss)

    def _agree(self, loss: Loss) -> None:
        """All processes tell the same loss: the one that was noticed first."""
        told = self._store.compare_set(_key("loss"), "", json.dumps(asdict(loss)))
        self._lose(Loss(**json.loads(told)))

    def _lose(self, loss: Loss) -> Loss:
        if self.loss is None:
            self._lost_at = time.monotonic()
            self.loss = loss
            if loss.rank != self._rank or self._failure is None:
                _say(f"rank {self._rank}: {loss.message}")
        return self.loss

    def _reconnect(self, error: BaseException) -> None:
        """Reach the store again; without it, nobody can tell what became of the others."""
        if time.monotonic() - self._reached_store > self._limit_s / 4 and self._left_at is None:
            gone = "torchrun, or the process that connects the others, no longer exists"
            self._lose(Loss(None, f"{gone}: {first_line(error)}."))
        with suppress(RuntimeError, OSError, ValueError):
            self._store = _connect(self._interval_s)

    def _write_beat(self) -> None:
        self._beats += 1
        doing, limit = self._doing, None
        times = list(self._times[doing.activity])
        if doing.activity in _LIMITED and len(times) >= _UNLIMITED_TIMES:
            limit = max(self._limit_s * 3 / 5, STEPS * median(times))
        if limit is None or doing.activity is not Activity.STEPPING or doing.for_s < limit / 2:
            self._computed = None
        elif self._computed is None:
            self._computed = False
            threading.Thread(target=self._look_at_computation, name="probe", daemon=True).start()
        left, computed = self._left_at is not None, self._computed
        about = (doing.activity, doing.words, doing.for_s, limit, computed, left)
        self._store.set(_key(self._rank), json.dumps(asdict(Beat(self._beats, self._identity, *about))))

    def _look_at_computation(self) -> None:
        """A thread of its own: a driver that hangs may not answer."""
        with suppress(RuntimeError):
            self._computed = self.has_computed()

    def _read_beats(self) -> None:
        beats: dict[int, Beat] = {}
        for peer in self._peers:
            if self._store.check([_key(peer.rank)]):
                beat = convert(json.loads(self._store.get(_key(peer.rank))), Beat)
                beats |= {peer.rank: beat} if beat else {}
        self._peers.update(beats, self._interval_s)

    # The end

    @property
    def saves(self) -> bool:
        """Whether this process saves if one was lost, and ends first."""
        return self._rank == self._saver()

    @property
    def succeeds_main(self) -> bool:
        """Whether this process does so in place of the main one."""
        return self.saves and self._rank > 0

    def end_lost(self) -> None:
        """Kill the lost process, if it is of this machine and cannot end by itself: torchrun would wait."""
        loss = self.loss
        beat = None if loss is None or loss.rank is None or loss.responds else self._peers[loss.rank].beat
        if beat and beat.process.alive:
            kill_tree(beat.process)

    def _saver(self) -> int:
        return 1 if self.loss and self.loss.rank == 0 and not self.loss.responds else 0

    def _may_go(self, left_at: float) -> bool:
        """Whether this process, which has left, may end."""
        waited = time.monotonic() - left_at
        if time.monotonic() - self._reached_store > 3 * self._interval_s:
            return True  # torchrun is gone, and nobody else would end this process
        if not self.saves:
            saver = self._peers[self._saver()]
            gone = saver.left or saver.dead or saver.silence_s > self._limit_s / 2
            return gone or waited > _LONGEST_WRITE_S
        if self.loss is None and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            others = [peer for peer in self._peers if peer.rank != self._rank]  # they use this one's store
            return all(peer.left or peer.dead for peer in others) or waited > self._limit_s / 2
        return True

    def _stand_in(self) -> None:
        """Save and leave in place of the main thread, where it is blocked, or blocked while it leaves."""
        saving, now = self._doing.activity is Activity.SAVING, time.monotonic()
        if self._claimed_at is not None:
            blocked = now - self._claimed_at > (_LONGEST_WRITE_S if saving else self._limit_s / 4)
        else:
            blocked = now - self._lost_at > (_LONGEST_WRITE_S if saving else self._limit_s * _GRACE)
            blocked = blocked and self._claim.acquire(blocking=False)
        if blocked:
            self._stands_in, self._claimed_at = True, now
            threading.Thread(target=self._leave_alone, name="rescue", daemon=True).start()

    def _leave_alone(self) -> None:
        assert self.loss
        error: DiffBEVError = LostProcessError(self.loss)
        try:
            if self.saves:
                self.now(Activity.SAVING)
                error = self.rescue(error)
        except Exception as problem:  # nobody else is left to tell it
            error = DiffBEVError(f"{error} Nothing was saved: {type(problem).__name__}: {problem}")
        self._part(error)
        self.end(error)

    def end(self, error: DiffBEVError) -> None:
        """End this process, whatever its main thread is blocked in."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        _say(f"error: {error}")
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(int(error.exit_code))


def _say(line: str) -> None:
    """Write to stderr at once: the main thread may hold the stream."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


def _key(name: object) -> str:
    """A key of this start; torchrun keeps the store when it starts all processes again."""
    return f"diffbev/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"


def _connect(timeout_s: float) -> distributed.TCPStore:
    """A connection of its own to the store: a collective that waits would hold up beats on a shared one."""
    return distributed.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=timeout_s),
    )
