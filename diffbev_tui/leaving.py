"""Ways out of the UI: by signal, with its terminal, or after a question while a run is in progress."""

import asyncio
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from diffbev_engine.runs.inspect import RunCondition, RunReport


def leave_on_signals(app: App[Any]) -> None:
    """A request to end puts the terminal back as it was; runs are not affected."""
    if app.is_headless or app.is_web or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(number, app.exit, None, 128 + number)


def terminal_is_gone(app: App[Any]) -> bool:
    """Whether nobody sees or types anything any more; Textual would read its end for ever."""
    if app.is_headless or app.is_web or sys.__stdin__ is None:
        return False
    hang_up = select.poll()
    hang_up.register(sys.__stdin__.fileno(), 0)  # errors only, which need not be asked for
    return bool(hang_up.poll(0))


def leave(app: App[Any], run: RunReport | None, stop: Callable[[Path], None], *, read_only: bool) -> None:
    """Close a dialog, else the app; while ``run`` is running, ask whether to detach from it or to stop it.

    Args:
        app: what is left.
        run: the current run.
        stop: stops a run, then leaves.
        read_only: whether stopping is not offered.
    """
    from diffbev_tui.widgets.dialogs import leaving

    if len(app.screen_stack) > 1 and app.screen.is_modal:
        app.screen.dismiss(None)
        return
    if run is None or run.state is not RunCondition.RUNNING:
        app.exit()
        return
    path = Path(run.path)

    def left(answer: str | None) -> None:
        if answer == "detach":
            app.exit()
        elif answer == "stop":
            stop(path)

    app.push_screen(leaving(path.name, read_only), left)
