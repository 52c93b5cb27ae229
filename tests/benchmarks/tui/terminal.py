"""A program in a terminal of its own, pressed keys and watched as a user would."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from diffbev_tui.terminal_graphics import OWN_VARIABLES
from tests.benchmarks.tui.screen import Screen

SIZE = (140, 44)
"""Columns and rows: room for four charts."""
_READ_BYTES = 1 << 16
_END_S = 5.0


_NOT_INHERITED = (*OWN_VARIABLES, "COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE")
"""This terminal answers no questions.  With the last, our own modules would be compiled at every start,
which those of an installed program are not."""


class TooSlow(Exception):
    """What was waited for did not appear."""


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = SIZE
    ) -> None:
        """Start the program.

        Args:
            command: the program and its arguments.
            environment: variables to add to those of this process.
            size: columns and rows.
        """
        self.screen = Screen(*size)
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        variables = {**inherited, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self.started = self.pressed = time.perf_counter()
        self._program = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=variables, start_new_session=True
        )
        os.close(slave)
        self.process = psutil.Process(self._program.pid)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, whatever it does."""
        with suppress(psutil.Error):
            self.process.resume()
        self._program.terminate()
        self.ended(_END_S)
        self._program.kill()
        self._program.wait()
        os.close(self._master)

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that the program has taken."""
        times = self.process.cpu_times()
        return times.user + times.system

    @property
    def memory_mb(self) -> float:
        """Resident memory of the program."""
        return self.process.memory_info().rss / 2**20

    def ended(self, seconds: float) -> bool:
        """Whether the program ends by itself within so many seconds."""
        end = time.perf_counter() + seconds
        while self._program.poll() is None and time.perf_counter() < end:
            self.watch(0.05)
        return self._program.poll() is not None

    @property
    def now(self) -> float:
        """The clock of ``started`` and ``pressed``."""
        return time.perf_counter()

    def press(self, key: str) -> None:
        """Send what a key sends."""
        self.pressed = time.perf_counter()
        os.write(self._master, key.encode())

    def watch(self, seconds: float) -> None:
        """Take what the program writes for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and self._take(left):
            pass

    def discard(self, seconds: float) -> None:
        """Take what the program writes for so long, unseen: ``screen`` is not true any more."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                os.read(self._master, _READ_BYTES)

    def until(self, holds: Callable[[Screen], bool], seconds: float = 60.0) -> float:
        """Take what the program writes until something stands on the screen; when it did.

        Raises:
            TooSlow: it did not within so many seconds, or the program ended.
        """
        end = time.perf_counter() + seconds
        while not holds(self.screen):
            left = end - time.perf_counter()
            if left <= 0 or not self._take(left):
                raise TooSlow(f"not on the screen within {seconds - left:.1f} s:\n{self.screen.text}")
        return time.perf_counter()

    def _take(self, seconds: float) -> bool:
        """Take one piece of output, if there is one by then; ``False`` where there will never be one."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            written = os.read(self._master, _READ_BYTES)
        except OSError:  # Linux says so when the program has closed its side
            return False
        self.screen.feed(written)
        return bool(written)


def ui_command(*arguments: str | Path) -> list[str]:
    """The terminal UI, in English."""
    return [sys.executable, "-m", "diffbev_tui.main", "open", *map(str, arguments), "--lang", "en"]
