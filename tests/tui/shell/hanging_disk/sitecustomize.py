"""Loaded by Python as it starts: opening a file that has a neighbour named ``<name>.hangs`` never returns."""

import builtins
import io
import os
import time
from functools import partial

_os_open, _io_open = os.open, io.open


def _wait(path):
    if isinstance(path, str | os.PathLike):
        while os.path.exists(f"{os.fspath(path)}.hangs"):  # noqa: PTH110 - before pathlib is needed
            time.sleep(0.5)


def _hanging_os_open(path, *arguments, **named):
    _wait(path)
    return _os_open(path, *arguments, **named)


def _hanging_open(path, *arguments, **named):
    _wait(path)
    return _io_open(path, *arguments, **named)


os.open = _hanging_os_open
# No function: Python 3.10 keeps io.open in a class, where that would become a method.
io.open = builtins.open = partial(_hanging_open)
