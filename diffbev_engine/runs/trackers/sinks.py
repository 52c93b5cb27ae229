"""The trackers themselves: each starts, takes rows, flushes and finishes.

TensorBoard takes rows back: what a resumed run logs again replaces what was there.  The others only
append, so every start of a training is a run of its own there, and a group holds them together.
"""

import math
import netrc
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from diffbev_engine.runs.trackers.rows import Logged
from diffbev_engine.train.settings import Tracker

_PROJECT = "diffbev"


@dataclass(frozen=True)
class Leg:
    """One start of a training."""

    folder: Path
    """The run directory."""
    number: int
    """Counted from 1."""
    group: str
    """What the legs of one run have in common."""
    config: Mapping[str, Any]
    first_step: int
    """Rows from this iteration on follow; what a tracker has of them is void."""


class Sink(Protocol):
    """Where rows go."""

    def row(self, row: Logged) -> None:
        """Take one row."""

    def flush(self) -> None:
        """Return when the rows so far outlive this process."""

    def finish(self) -> None:
        """End."""


def open_sink(tracker: Tracker, leg: Leg) -> Sink:
    """Start to send to ``tracker``."""
    if tracker == "tensorboard":
        return TensorBoard(leg)
    return WandB(leg) if tracker == "wandb" else SwanLab(leg)


def only_appends(tracker: Tracker) -> bool:
    """Whether rows cannot be taken back."""
    return tracker != "tensorboard"


class TensorBoard:
    """Event files in ``tensorboard/`` of the run directory, written without PyTorch."""

    def __init__(self, leg: Leg) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(str(leg.folder / "tensorboard"))
        # Readers drop what earlier files of the folder say of this iteration and later ones.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.add_event(self._event(wall_time=time.time(), step=leg.first_step, session_log=start))

    def row(self, row: Logged) -> None:
        """Take one row."""
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in row.values.items()]
        self._writer.add_event(
            self._event(wall_time=time.time(), step=row.step, summary=self._summary(value=values))
        )

    def flush(self) -> None:
        """Write the event file."""
        self._writer.flush()

    def finish(self) -> None:
        """Close the event file."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases; in ``wandb/`` of the run directory until it is synced or logged in."""

    def __init__(self, leg: Leg) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE") or ("online" if _knows_wandb() else "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            dir=leg.folder,
            name=_name(leg),
            group=leg.group,
            config=dict(leg.config),
            mode=mode,
            settings=wandb.Settings(console="off", disable_git=True, x_disable_stats=True, silent=True),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def row(self, row: Logged) -> None:
        """Take one row; its own step counts rows."""
        self._run.log({**row.values, "step": row.step})

    def flush(self) -> None:
        """It writes at once, in a process of its own."""

    def finish(self) -> None:
        """End the run and wait until it is written or uploaded."""
        self._run.finish()


class SwanLab:
    """A run of SwanLab; in ``swanlog/`` of the run directory until it is synced or logged in."""

    def __init__(self, leg: Leg) -> None:
        import swanlab

        self._swanlab = swanlab
        mode: Any = os.environ.get("SWANLAB_MODE") or ("online" if _knows_swanlab() else "offline")
        swanlab.init(
            project=os.environ.get("SWANLAB_PROJECT", _PROJECT),
            log_dir=str(leg.folder / "swanlog"),
            name=_name(leg),
            group=leg.group,
            config=dict(leg.config),
            mode=mode,
        )

    def row(self, row: Logged) -> None:
        """Take one row, without what it could not draw."""
        finite = {tag: value for tag, value in row.values.items() if math.isfinite(value)}
        if finite:
            self._swanlab.log(finite, step=row.step)

    def flush(self) -> None:
        """It writes at once."""

    def finish(self) -> None:
        """End the run and wait until it is written or uploaded."""
        self._swanlab.finish()


def _name(leg: Leg) -> str:
    return leg.folder.name if leg.number == 1 else f"{leg.folder.name} ({leg.number})"


def _knows_wandb() -> bool:
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("//")[2].partition("/")[0]
    return bool(os.environ.get("WANDB_API_KEY")) or _in_netrc(Path.home() / ".netrc", host)


def _knows_swanlab() -> bool:
    folder = Path(os.environ.get("SWANLAB_SAVE_DIR", Path.home() / ".swanlab"))
    return bool(os.environ.get("SWANLAB_API_KEY")) or _in_netrc(folder / ".netrc", None)


def _in_netrc(path: Path, host: str | None) -> bool:
    """Whether a login is kept in ``path``, for ``host`` or for any."""
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return False
    return bool(hosts) if host is None else host in hosts
