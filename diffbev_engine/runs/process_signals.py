"""Signals to exactly one process and its children, never to a later one with its pid."""

import os
import signal

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.process import ProcessIdentity


def send(process: ProcessIdentity, number: signal.Signals) -> None:
    """Signal this process and no later one with its pid."""
    try:
        if hasattr(os, "pidfd_open"):
            _send_by_descriptor(process, number)
        elif process.alive:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError as error:
        raise DiffBEVError(f"{process} belongs to another user: ask {process.user} to stop it.") from error


def _send_by_descriptor(process: ProcessIdentity, number: signal.Signals) -> None:
    descriptor = os.pidfd_open(process.pid)
    try:
        if process.alive:  # so the descriptor is of this process
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def kill_tree(process: ProcessIdentity) -> None:
    """SIGKILL a process and everything below it."""
    import psutil

    children: list[psutil.Process] = []
    try:
        children = psutil.Process(process.pid).children(recursive=True) if process.alive else []
    except psutil.NoSuchProcess:
        return
    send(process, signal.SIGKILL)
    for child in children:  # psutil checks that the pid is still the child's
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
