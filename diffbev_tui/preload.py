"""Deferred imports, loaded in a thread after the first screen is shown."""

import gc
import importlib

MODULES = ("diffbev_tui.widgets.help", "plotext", "psutil")
PREPARED = ("monitor", "gpu", "log", "classes", "memory", "report", "runs")


def import_the_rest() -> None:
    """So that the first visit of a screen does not wait."""
    for name in (*MODULES, *(f"diffbev_tui.{pane}.pane" for pane in PREPARED)):
        importlib.import_module(name)


def settle_memory() -> None:
    """Let garbage be collected from now on, see ``main``.

    What is there by now stays, and is not looked through for garbage: that took 50 ms, about once a second
    while charts were drawn, for which a key had to wait.  What comes later is looked through now and then.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(5_000, 20, 20)
        gc.enable()
