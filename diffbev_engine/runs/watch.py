"""Watches one training from a process of its own: ``system.csv``, ``alerts.jsonl``, notifications.

``python -m diffbev_engine.runs.watch RUN_DIR PID`` is started by the training once the run directory is its
own.  It lives as long as the training and a moment longer, to tell how it ended, however that was; a
training that was killed cannot.  Nothing of the training depends on it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.gpu.reading import read_gpus
from diffbev_engine.runs.alert_detector import AlertDetector
from diffbev_engine.runs.alerts import append_alerts
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.host import read_host
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.notify import Notifier, notifier_for
from diffbev_engine.runs.process import ProcessIdentity, identify
from diffbev_engine.runs.status import RunState
from diffbev_engine.runs.system import SAMPLE_S, SystemWriter, sample
from diffbev_engine.runs.verdict import RunCondition

POLL_S = 5.0
_RECORDED_WITHIN_S = 10.0
"""The supervisor records the end a moment after the training is gone."""


def start_watching(folder: RunFolder) -> None:
    """Start to watch this process, which trains in ``folder``; it stays when a terminal closes."""
    command = [
        sys.executable,
        "-m",
        "diffbev_engine.runs.watch",
        str(folder.path.resolve()),
        str(os.getpid()),
    ]
    with suppress(OSError):  # a machine without room for one more process can still train
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class Watch:
    """One training under observation."""

    def __init__(self, folder: RunFolder, training: ProcessIdentity, notifier: Notifier) -> None:
        self._folder, self._training, self._notifier = folder, training, notifier
        self._detector = AlertDetector(folder)
        self._system = SystemWriter(folder.system)
        self._sample_due = 0.0

    def run(self) -> None:
        """Watch until the training has ended and its end is recorded."""
        while self._training.alive:
            self.poll()
            self._wait(POLL_S)
        give_up = time.monotonic() + _RECORDED_WITHIN_S
        while not self._end_is_recorded() and time.monotonic() < give_up:
            time.sleep(0.2)
        self.poll()
        self._notifier.close()

    def poll(self) -> None:
        """Look once; a run directory that is gone is no reason to complain."""
        report = self._report()
        if report is None:
            return
        alerts = self._detector.look(report)
        append_alerts(self._folder.alerts, alerts)
        for alert in alerts:
            self._notifier.tell(self._folder.path.name, alert)
        if report.state is RunCondition.RUNNING and time.monotonic() >= self._sample_due:
            self._sample_due = time.monotonic() + SAMPLE_S
            host = read_host(self._folder.path, self._training.pid)
            wait = report.data_wait if report.activity == RunState.TRAINING.value else None
            self._system.write(sample(time.time(), report.step, host, read_gpus(), wait))

    def _report(self) -> RunReport | None:
        try:
            return inspect_run(self._folder.path)
        except (DiffBEVError, OSError):
            return None

    def _end_is_recorded(self) -> bool:
        report = self._report()
        return report is None or not report.detached or report.ended is not None

    def _wait(self, seconds: float) -> None:
        """Wait, but notice the end of the training within a second."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._training.alive:
            time.sleep(0.5)


def main(arguments: Sequence[str]) -> None:
    """``watch RUN_DIR PID``."""
    folder = RunFolder(Path(arguments[0]))
    try:
        training = identify(int(arguments[1]))
    except ProcessLookupError:
        return
    with suppress(OSError):
        os.chdir("/")  # hold no directory that somebody may want to unmount or remove
    notifier = notifier_for(folder.path, lambda alert: append_alerts(folder.alerts, [alert]))
    Watch(folder, training, notifier).run()


if __name__ == "__main__":
    main(sys.argv[1:])
