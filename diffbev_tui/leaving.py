"""Ways out of the UI: by signal, with its terminal, or after a question while a run is in progress."""

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition


def leave_on_signals(app: App[Any], close: Callable[[], None]) -> None:
    """A request to end puts the terminal back as it was, if it is still there; runs are not affected.

    Args:
        app: what is left.
        close: lets others act; called in a thread when the terminal is gone.
    """
    if app.is_headless or app.is_web or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(number, app.exit, None, 128 + number)
    _end_with_the_terminal(close)


def _end_with_the_terminal(close: Callable[[], None]) -> None:
    """End this process as soon as its terminal is gone, whatever the event loop is waiting for.

    Nobody sees or types anything any more. Textual would not end by itself: its input thread reads the end
    of the terminal over and over, and its shutdown waits for an output thread that died of the first write.
    """
    if sys.__stdin__ is None:
        return
    hang_up = select.poll()
    hang_up.register(sys.__stdin__.fileno(), 0)  # hang-ups and errors only: they need not be asked for

    def watch() -> None:
        hang_up.poll()
        close()
        os._exit(128 + signal.SIGHUP)  # the terminal takes no last words

    threading.Thread(target=watch, name="terminal gone", daemon=True).start()


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
