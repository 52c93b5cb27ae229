"""Whether a real training, one that is going on now, is slower while the UI shows it: ``--training RUN_DIR``.

As in ``watched``, but its speed is that at which rows come into its ``metrics.csv``.  One that writes a row
an iteration (``log_config.interval=1``) tells most, and gives the monitor most to do.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.toml import WORKSPACE_FILE
from diffbev_engine.runs.folder import RunFolder
from tests.benchmarks.tui.figure import Figure
from tests.benchmarks.tui.monitor import first_drawn
from tests.benchmarks.tui.pairs import loss_figure, speeds_in_pairs
from tests.benchmarks.tui.terminal import Terminal, ui_command
from tests.benchmarks.tui.workspace import home_variables

_SETTLE_S = 0.3
_LOOK_S = 0.001
_TAIL_BYTES = 4096
_SILENT_S = 30.0


def measure(run: Path, *, quick: bool) -> list[Figure]:
    """How much slower, in per cent, and how sure that is.

    Raises:
        UsageError: ``run`` is no directory of a workspace, or no rows come.
    """
    pairs, window = (2, 0.5) if quick else (24, 5.0)
    metrics = RunFolder(run.absolute()).metrics
    with (
        tempfile.TemporaryDirectory() as home,
        Terminal(ui_command(_workspace_of(run), "--read-only"), home_variables(Path(home))) as terminal,
    ):
        terminal.until(lambda screen: "Next:" in screen.text)
        terminal.press("2")
        terminal.until(first_drawn)
        speeds = speeds_in_pairs(terminal, pairs, lambda: _speed(metrics, window, terminal.discard))
    watched = median(watched for watched, _ in speeds)
    return [
        Figure("watched_speed", "speed of the training, watched", watched, "it/s"),
        loss_figure("training", "speed the training lost while watched", speeds, window),
    ]


def _workspace_of(run: Path) -> Path:
    for folder in run.absolute().parents:
        if (folder / WORKSPACE_FILE).exists():
            return folder
    raise UsageError(f"{run} is not inside a workspace: no {WORKSPACE_FILE} in any parent directory.")


def _speed(metrics: Path, seconds: float, wait: Callable[[float], None]) -> float:
    """Iterations a second, between two rows as they come."""
    wait(_SETTLE_S)
    first, began = _next_row(metrics, wait)
    wait(seconds)
    last, ended = _next_row(metrics, wait)
    return (last - first) / (ended - began)


def _next_row(metrics: Path, wait: Callable[[float], None]) -> tuple[int, float]:
    """Step of the next row, and when it came."""
    before, end = _last_step(metrics), time.perf_counter() + _SILENT_S
    while time.perf_counter() < end:
        wait(_LOOK_S)
        step = _last_step(metrics)
        if step is not None and step != before:
            return step, time.perf_counter()
    raise UsageError(
        f"{metrics} got no row for {_SILENT_S:.0f} s. Start the training first, with log_config.interval=1."
    )


def _last_step(metrics: Path) -> int | None:
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().split(b"\n")
        return int(lines[-2].split(b",")[0])  # the last whole one
    except (OSError, IndexError, ValueError):
        return None
