"""Real subprocesses of the command line, as users start them."""

import os
import signal
import subprocess
import sys


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
