"""Feeds one tracker from ``metrics.csv``, in a process of its own.

``python -m diffbev_engine.runs.trackers.feed RUN_DIR PID TRACKER STEP`` is started by the training once the
run directory is its own; STEP is the iteration it starts or continues from.  Nothing of the training
depends on it: a tracker that fails is tried again, one that hangs holds up this process alone.

Trackers that only append get the rows that a checkpoint holds, and at the end of a finished run the rest:
what comes after the last checkpoint is logged again by a run that is resumed from it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_text
from diffbev_engine.core.secrets import masked, masked_values
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.runs.alerts import Alert, AlertKind, append_alerts
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.manifest import read_manifest
from diffbev_engine.runs.metrics.tail import MetricsTail
from diffbev_engine.runs.process import ProcessIdentity, identify
from diffbev_engine.runs.trackers.rows import NUMBERS, Position, rows_after
from diffbev_engine.runs.trackers.sinks import Leg, Sink, only_appends, open_sink
from diffbev_engine.runs.verdict import RunCondition
from diffbev_engine.train.settings import TRACKERS, Tracker

POLL_S = 5.0
_RETRY_S = (30.0, 120.0, 600.0)
_TRIES_AFTERWARDS = 2
"""Further attempts once the training has ended."""
_ENDS_WITHIN_S = 120.0
"""Seconds that a tracker may take after the end of the training, without progress."""
_EARLIER_ENDS_WITHIN_S = 20.0


@dataclass(frozen=True)
class Fed:
    """What a tracker has; kept in the run directory."""

    position: Position = field(default_factory=Position)
    legs: int = 0
    branch: int = 1
    """Raised when a run goes back behind what a tracker that only appends has: a group of its own."""
    process: ProcessIdentity | None = None
    """Who feeds it."""


def start_feeding(folder: RunFolder, trackers: Iterable[Tracker], step: int) -> None:
    """Start to feed ``trackers`` with what this process, training in ``folder`` from ``step`` on, logs."""
    for tracker in trackers:
        arguments = [str(folder.path.resolve()), str(os.getpid()), tracker, str(step)]
        with suppress(OSError), folder.tracker_log(tracker).open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "diffbev_engine.runs.trackers.feed", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Feed:
    """One tracker of one training."""

    def __init__(
        self, folder: RunFolder, training: ProcessIdentity | None, tracker: Tracker, step: int
    ) -> None:
        self._folder, self._training, self._tracker = folder, training, tracker
        self._tail = MetricsTail(folder.metrics, NUMBERS)
        self._sink: Sink | None = None
        self._fed = self._begin(step)
        self.progressed = time.monotonic()

    def _begin(self, step: int) -> Fed:
        """Where this start of the training stands to what the tracker has."""
        _end_earlier(self._kept().process)
        fed = self._kept()
        if step == 0:
            fed = replace(fed, position=Position(), branch=fed.branch + (fed.legs > 0))
        elif not only_appends(self._tracker):
            fed = replace(fed, position=_before(min(step, fed.position.last)))
        elif fed.position.last > step:
            fed = replace(fed, position=Position(), branch=fed.branch + 1)
        return replace(fed, process=identify())

    def run(self) -> None:
        """Feed until the training has ended and all is told."""
        failures = 0
        while True:
            try:
                ended = not self._training_alive()  # asked before the rows are read
                self._feed(ended=ended)
                if ended:
                    self._close()
                    return
                pause, failures = POLL_S, 0
            except Exception as error:  # whatever a tracker meets: network, disk, its own defects
                pause = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                self._tell(error, first=failures == 0)
                failures, self._sink = failures + 1, None
                if not only_appends(self._tracker):
                    self._fed = replace(self._fed, position=_before(self._fed.position.last))
                if not self._training_alive():  # nobody else will send the rest
                    if failures > _TRIES_AFTERWARDS:
                        return
                    time.sleep(pause)
            self._wait(pause)

    def _feed(self, *, ended: bool) -> None:
        while self._tail.advance():
            pass
        until = self._until(ended=ended) if only_appends(self._tracker) else inf
        rows = list(rows_after(self._fed.position, self._tail.table, until))
        if self._sink is None and (rows or not ended):
            self._open()
        if self._sink is None:
            return
        for row in rows:
            self._sink.row(row)
            self._fed = replace(self._fed, position=self._fed.position.after(row))
            self.progressed = time.monotonic()
        self._sink.flush()
        if rows:
            self._keep(self._fed)

    def _until(self, *, ended: bool) -> float:
        """The last iteration that no resume takes back."""
        if ended:
            with suppress(DiffBEVError, OSError):
                if inspect_run(self._folder.path).state is RunCondition.FINISHED:
                    return inf
        return max((step for step, _ in self._folder.checkpoints()), default=-1)

    def _open(self) -> None:
        manifest = read_manifest(self._folder)
        name, branch = self._folder.path.name, self._fed.branch
        leg = Leg(
            self._folder.path,
            number=self._fed.legs + 1,
            group=name if branch == 1 else f"{name} [{branch}]",
            config=masked_values(dict(manifest.config) if manifest else {}),
            first_step=max(self._fed.position.last + 1, 0),
        )
        self._sink = open_sink(self._tracker, leg)
        self._keep(replace(self._fed, legs=leg.number))

    def _keep(self, fed: Fed) -> None:
        self._fed = fed
        write_text(self._folder.tracker(self._tracker), json.dumps(asdict(fed)) + "\n")

    def _kept(self) -> Fed:
        return decode_file(self._folder.tracker(self._tracker), Fed).value or Fed()

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.finish()
        self._keep(replace(self._fed, process=None))

    def _tell(self, error: Exception, *, first: bool) -> None:
        why = masked(f"{self._tracker}: {str(error).strip() or type(error).__name__}".splitlines()[0])
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {why}", flush=True)
        if first:
            step = max(self._tail.table.last_step, 0)
            alert = Alert(time.time(), AlertKind.NOT_TRACKED, step, message=why[:300])
            append_alerts(self._folder.alerts, [alert])

    def _training_alive(self) -> bool:
        return self._training is not None and self._training.alive

    def _wait(self, seconds: float) -> None:
        """Wait, but notice the end of the training within a second."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._training_alive():
            time.sleep(min(0.5, seconds))

    def leave_when_stuck(self) -> None:
        """End the process if the tracker hangs although the training is over."""
        while True:
            time.sleep(1)
            if self._training_alive():
                self.progressed = time.monotonic()
            elif time.monotonic() - self.progressed > _ENDS_WITHIN_S:
                self._tell(TimeoutError("it does not answer; the training has ended"), first=True)
                os._exit(1)


def export_run(folder: RunFolder) -> int:
    """Send all rows of a run that is over to TensorBoard, in the place of what is there; how many.

    Raises:
        MetricsError: there are no rows.
        OSError: they cannot be written.
    """
    from diffbev_engine.runs.metrics.file import read_metrics

    table = read_metrics(folder.metrics, columns=NUMBERS)
    sink = open_sink("tensorboard", Leg(folder.path, 1, folder.path.name, {}, 0))
    sent = 0
    for row in rows_after(Position(), table):
        sink.row(row)
        sent += 1
    sink.finish()
    return sent


def _before(step: int) -> Position:
    """All rows before iteration ``step`` are there; its own, of which some may be, are sent again."""
    return Position(max(step, 0) - 1, max(step, 0) - 1)


def _end_earlier(process: ProcessIdentity | None) -> None:
    """Wait for the process of an earlier start, which may still be sending; it may hang."""
    if process is None or not process.same_machine():
        return
    end = time.monotonic() + _EARLIER_ENDS_WITHIN_S
    while process.alive and time.monotonic() < end:
        time.sleep(0.2)
    if process.alive:
        with suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """``feed RUN_DIR PID TRACKER STEP``."""
    folder, tracker, step = RunFolder(Path(arguments[0])), arguments[2], int(arguments[3])
    try:
        training = identify(int(arguments[1]))
    except ProcessLookupError:
        training = None
    with suppress(OSError):
        os.chdir("/")  # hold no directory that somebody may want to unmount or remove
    assert tracker in TRACKERS
    feed = Feed(folder, training, tracker, step)
    threading.Thread(target=feed.leave_when_stuck, daemon=True).start()
    feed.run()


if __name__ == "__main__":
    main(sys.argv[1:])
