"""Writes ``metrics.csv``, ``status.json`` and the log (main process only)."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from diffbev_engine.core.appending import Appender
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import duration, percent
from diffbev_engine.core.secrets import MaskedLines
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import MetricsWriter, read_metrics
from diffbev_engine.runs.status import Phase, RunState, StatusWriter
from diffbev_engine.train.checkpoint import Best
from diffbev_engine.train.meter import Reading
from diffbev_engine.train.workers import workers_in_words

logger = logging.getLogger("diffbev_engine")

_SAY_WAITING_S = 60.0
_WARM_UP = 5
"""Iterations of each start that may compile and tune, and take far longer than the later ones."""


class Scores(Protocol):
    """The part of an evaluation that training acts on."""

    @property
    def miou(self) -> float:
        """Mean IoU, 0 to 1."""

    @property
    def iou(self) -> Mapping[str, float | None]:
        """IoU by class name; ``None`` for a class that does not occur."""


class _LogFile(logging.Handler):
    """A log that no full disk ends."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = Appender(path)

    def emit(self, record: logging.LogRecord) -> None:
        self._file.add(self.format(record) + "\n")

    def close(self) -> None:
        self._file.close()
        super().close()


class _Console(logging.StreamHandler):  # without a parameter, which Python 3.10 does not take
    """A terminal that was closed, or a full disk behind ``> file``, is no reason for a traceback a line."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class RunLog:
    """The log of one start: the console and ``train_<time>.log``."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.log(datetime.now())
        self._file = _LogFile(self.path)
        self._handlers: list[logging.Handler] = [_Console(sys.stdout), self._file]
        line = MaskedLines("%(asctime)s %(levelname).1s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        for handler in self._handlers:
            handler.setFormatter(line)
            logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def note(self, message: str) -> None:
        """Write an error to the file alone, for a message that the console gets in another way."""
        self._file.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), None))

    def close(self) -> None:
        """Close the file, and give the logger back as it was to whoever trains inside a longer process."""
        for handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


class Recorder:
    """Writes the files of one run directory."""

    def __init__(self, folder: RunFolder, *, max_iters: int, start: int, best: Best | None = None) -> None:
        """Open the files.

        Args:
            folder: the run directory.
            max_iters: where training ends.
            start: the iteration to continue after.
            best: the best evaluation up to there.
        """
        self._max_iters = max_iters
        self._start = start
        self._troubles: dict[str, str] = {}
        self._metrics = MetricsWriter(folder.metrics, keep_until_step=start)
        known = _known_at(folder, start, best or Best()) if start else {}
        self.status = StatusWriter(folder.status, max_iters, **known)

    def iterated(self, step: int, usual_s: float) -> None:
        """Note that an iteration is done; ``usual_s`` is the usual time of one."""
        speed = self.status.current.it_per_s
        self.status.update(
            state=RunState.TRAINING,
            phase=self.phase_at(step),
            step=step,
            median_step_s=usual_s,
            eta_s=(self._max_iters - step) / speed if speed else None,
        )

    def phase_at(self, step: int) -> Phase:
        """What a run that neither evaluates nor saves is busy with after ``step`` iterations."""
        done = step - self._start
        return Phase.STEPPING if done >= _WARM_UP else Phase.WARMING_UP if done else Phase.STARTING

    def trouble(self, about: str, words: str | None) -> None:
        """Note what is wrong although training continues; ``None``: nothing any more."""
        if words != self._troubles.get(about):
            self._troubles.pop(about, None)
            self._troubles |= {about: words} if words else {}
            self.status.update(trouble=" ".join(self._troubles.values()) or None)

    def waiting_for_data(self, seconds: float, data_root: Path) -> None:
        """Keep the heartbeat up while no batch comes; after a minute, say what is waited for."""
        self.status.update()
        if seconds >= _SAY_WAITING_S and "data" not in self._troubles:
            words = f"no images for {duration(seconds)} from {data_root}: {workers_in_words()}."
            logger.warning(f"{words} Training continues as soon as they come.")
            self.trouble("data", words)

    def got_data(self) -> None:
        """A batch has come."""
        if "data" in self._troubles:
            logger.info("images are coming again")
            self.trouble("data", None)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Say that the block writes a checkpoint, which takes the time it takes."""
        before = self.status.current.phase
        self.status.update(phase=Phase.SAVING)
        try:
            yield
        finally:
            self.status.update(phase=before)

    def training_row(self, reading: Reading) -> None:
        """Write one training row; ``reading.extra`` holds ``lr`` and the speeds."""
        extra = reading.extra
        self._metrics.write(
            {
                **{"step": reading.step, "mode": "train", "phase": "train", **reading.means},
                **{"lr": extra["lr"], "grad_norm": reading.grad_norm},
                **{"images_per_s": extra["images_per_s"], "gpu_mem_mb": extra["gpu_mem_mb"]},
            }
        )
        remaining = (self._max_iters - reading.step) / extra["it_per_s"]
        self.status.update(
            eta_s=remaining,
            **{name: extra[name] for name in ("it_per_s", "images_per_s", "gpu_mem_mb", "data_wait")},
        )
        losses = " ".join(f"{name} {value:.4g}" for name, value in reading.means.items())
        logger.info(
            f"iter {reading.step}/{self._max_iters} {losses} lr {extra['lr']:.3e} "
            f"grad {reading.grad_norm:.3g} {extra['it_per_s']:.2f} it/s "
            f"data wait {percent(extra['data_wait'])} eta {duration(remaining)}"
        )

    def evaluation_row(self, step: int, scores: Scores) -> None:
        """Write one evaluation row."""
        iou = {f"IoU/{name}": value for name, value in scores.iou.items()}
        self._metrics.write({"step": step, "mode": "eval", "phase": "eval", "mIoU": scores.miou, **iou})

    def finish(self, state: RunState, message: str) -> None:
        """Write the final state and close the files."""
        self.status.update(state=state, message=message, eta_s=None, trouble=None)
        self._metrics.close()


def _known_at(folder: RunFolder, start: int, best: Best) -> dict[str, Any]:
    """What is known at the start of a resumed run, and need not wait for its next evaluation."""
    known: dict[str, Any] = {"step": start, "best_miou": best.miou, "best_step": best.step}
    if folder.checkpoint(start).exists():
        known["last_checkpoint"] = folder.checkpoint(start).name
    try:
        evaluations = read_metrics(folder.metrics, columns=()).series("mIoU")
    except DiffBEVError:  # no rows, as in a new work dir
        return known
    if len(evaluations):
        known |= {"last_miou": evaluations.values[-1], "last_miou_step": evaluations.steps[-1]}
    return known
