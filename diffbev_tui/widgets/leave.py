"""Leaving the app: at once, or with a question while a run is running."""

from pathlib import Path
from typing import TYPE_CHECKING

from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.i18n import tr

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp


def leave(app: "DiffBEVApp", run: RunReport | None) -> None:
    """Leave; while ``run`` is running, ask whether to detach from it or to stop it."""
    from diffbev_tui.widgets.dialogs import leaving

    if run is None or run.state is not RunCondition.RUNNING:
        app.exit()
        return
    path = Path(run.path)
    app.push_screen(leaving(path.name, app.read_only), lambda answer: _left(app, answer, path))


def _left(app: "DiffBEVApp", answer: str | None, run: Path) -> None:
    if answer == "detach":
        app.exit()
    elif answer == "stop":
        app.say(tr("app.stopping", run=run.name))
        app.run_worker(lambda: _stop_and_exit(app, run), thread=True, exclusive=True, group="stop")


def _stop_and_exit(app: "DiffBEVApp", run: Path) -> None:
    from diffbev_engine.core.errors import DiffBEVError
    from diffbev_engine.runs.actions import stop_run

    try:
        stop_run(run)
    except (DiffBEVError, OSError) as error:
        app.call_from_thread(app.say, str(error), "error")
    else:
        app.call_from_thread(app.exit)
