"""What the first screen did without: imported in a thread as soon as that stands. Light itself."""

import gc
import importlib

MODULES = ("plotext._figure", "diffbev_tui.core.alerts", "psutil")
PANES = ("monitor", "gpu", "log", "classes", "memory")
"""Not the report, whose pictures ask the terminal what it can do when they are imported."""


def import_the_rest() -> None:
    """So that the first visit of a screen does not wait; then let garbage be collected, see ``main``.

    What is there by now stays, and is not looked through for garbage: that took 50 ms, about once a second
    while charts were drawn, for which a key had to wait.  What comes later is looked through now and then.
    """
    for name in (*MODULES, *(f"diffbev_tui.panes.{pane}" for pane in PANES)):
        importlib.import_module(name)
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(5_000, 20, 20)
        gc.enable()
