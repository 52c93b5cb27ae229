"""Real subprocesses of the command line, as users start them, and waiting for what they do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

PATIENCE_S = 300
"""How long a test waits for what has to happen: a busy machine is slow, only a hang takes so long."""


def engine(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start ``diffbev-engine`` (under ``launcher``) as users do, with one thread a process."""
    command = [sys.executable, *launcher, "-m", "diffbev_engine", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        # pytest itself may run under nohup, whose ignored SIGHUP programs inherit.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def wait_until(
    holds: Callable[[], object],
    process: subprocess.Popen[str] | None = None,
    seen: Callable[[], object] = lambda: "it never came to that",
    every_s: float = 0.02,
) -> None:
    """Wait until ``holds()``; if it never does, ``seen()`` is the error, or all that ``process`` said."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, seen()
        if process is not None and process.poll() is not None:
            assert process.stdout is not None
            raise AssertionError(process.stdout.read())
        time.sleep(every_s)
