"""Run step commands in a shell: cwd is the workspace, output goes to a log, graceful shutdown.

The output goes straight to the log and is read back from there, so that a command outlives the
program that watches it, and anybody else can watch too.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from diffbev_engine.core.files import open_private
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.runbook.model import Command
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_POLL_S = 0.05
_TEST_S = 30.0
_BROKEN_PIPE = 128 + signal.SIGPIPE
# With the code of the program that was interrupted, which for a run means that it was saved.
_TRAP = "trap '__step_code=$?; exit \"$((__step_code ? __step_code : 130))\"' INT TERM"
_KEEP_GOING = ("tee",)  # ends by itself when the program before it does; killing it would break the pipe


def compose(
    commands: Sequence[Command], roots: WorkspacePaths, *, carried: Sequence[Command] = (), probe: str = ""
) -> str:
    """The script of a step: what earlier steps left in the shell, then each command while all goes well."""
    lines = ["set -o pipefail", _TRAP, 'trap \'echo "$?" > "$DIFFBEV_STEP_LOG.exit"\' EXIT']
    for command in carried:
        lines += [roots.command(command.setup), roots.command(command.run)]
    for command in commands:
        lines += [roots.command(command.setup), roots.command(command.run)]
        lines += ["__step_code=$?", 'if [ "$__step_code" -ne 0 ]; then exit "$__step_code"; fi']
    if probe:
        lines.append(roots.command(probe))
    return "\n".join(line for line in lines if line) + "\n"


def is_available(command: Command, roots: WorkspacePaths) -> bool:
    """Whether a command can be used here at all."""
    if not command.available:
        return True
    try:
        done = subprocess.run(
            ["bash", "-c", roots.command(command.available)],
            cwd=roots.workspace,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def environment() -> dict[str, str]:
    """The environment of commands: ``python`` is the one that this program runs with."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"PYTHONIOENCODING": "utf-8", **os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


class Shell:
    """A script that runs."""

    def __init__(self, script: str, roots: WorkspacePaths, log: Path) -> None:
        """Start ``script`` in a session of its own, so that Ctrl+C reaches it only through this class."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with open_private(log) as output:
            self._process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=roots.workspace,
                env={**environment(), "DIFFBEV_STEP_LOG": str(log)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the shell."""
        return self._process.pid

    def follow(self, say: Callable[[str], None], stop: Callable[[], int]) -> int:
        """Pass on the output until the script ends; give its exit code, as a shell counts it.

        ``stop`` returns how often a stop was requested: once ends the programs gently, which
        lets a run save its checkpoint; once more kills them.
        """
        asked = 0
        with self._log.open("rb") as output:
            while True:
                code = self._process.poll()
                for text in _new_text(output.read):
                    say(text)
                if code is not None:
                    return exit_code(code)
                if stop() > asked:
                    asked = stop()
                    self._end(gently=asked == 1)
                time.sleep(_POLL_S)

    def _end(self, *, gently: bool) -> None:
        if not gently:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            return
        import psutil

        with suppress(psutil.Error):
            shell = psutil.Process(self.pid)
            # The shell first: it waits for what it runs, then stops instead of taking the next line.
            for process in [shell, *shell.children(recursive=True)]:
                with suppress(psutil.Error):
                    if process.name() not in _KEEP_GOING:
                        process.send_signal(signal.SIGINT)


def exit_code(code: int) -> int:
    """The code as ``$?`` shows it; 0 when only the reader of a pipe, such as ``head``, had enough."""
    code = 128 - code if code < 0 else code
    return 0 if code == _BROKEN_PIPE else code


def read_exit_code(log: Path) -> int | None:
    """The exit code that a script left next to its log, also when nobody waited for it."""
    try:
        return exit_code(int(read_bounded(log.with_name(log.name + ".exit"), 64)))
    except (OSError, ValueError):
        return None


@contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Count Ctrl+C, SIGTERM and SIGHUP instead of dying of them."""
    count = 0

    def note(number: int, frame: object) -> None:  # noqa: ARG001
        nonlocal count
        count += 1

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(ValueError):  # not the main thread: whoever runs us handles signals
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                before[number] = signal.signal(number, note)
    try:
        yield lambda: count
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _new_text(read: Callable[[int], bytes]) -> Iterator[str]:
    while block := read(1 << 16):
        yield block.decode("utf-8", errors="replace")
