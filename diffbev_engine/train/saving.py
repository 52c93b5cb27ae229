"""Checkpoints are written atomically; those that cannot be are kept in host memory and tried again."""

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import atomic_path
from diffbev_engine.core.format import duration
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.checkpoint import FORMAT, Checkpoint
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.restore_point import copied_to_host

FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 600.0
WITHOUT_DIRECTORY_S = 600.0
"""A run whose directory is gone for so long was deleted: it ends."""
_LOOK_S = 0.2
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP)
"""Something else has the name of the file: no waiting helps."""


class UnwrittenCheckpointError(DiffBEVError):
    """A checkpoint that could not be written; earlier ones are intact."""

    def __init__(self, path: Path, error: OSError | RuntimeError) -> None:
        self.what = f"cannot write checkpoint {path}: {error}"
        self.remedy = _remedy(path.parent, error)
        self.hopeless = isinstance(error, OSError) and error.errno in _IN_THE_WAY
        """Whether trying again leads nowhere unless somebody acts."""
        super().__init__(f"{self.what}. {self.remedy}, then continue with --resume.")


def save_checkpoint(folder: RunFolder, checkpoint: Checkpoint, *, is_best: bool, keep: int) -> Path:
    """Write ``iter_<n>.pth``, then copy it to ``latest.pth`` and, if it is the best, ``best_mIoU.pth``.

    The copies share no blocks with it, so that one bad block takes one file.  Only when all are
    written are ``iter_<n>.pth`` of earlier iterations beyond the newest ``keep`` removed.

    Raises:
        UnwrittenCheckpointError: when the disk is full or cannot be written.
    """
    path = folder.checkpoint(checkpoint.iteration)
    try:
        _write(checkpoint, path)
        for name in [folder.latest, *([folder.best] if is_best else [])]:
            copy_checkpoint(path, name)
        # Later iterations are of a branch that was left, or damaged: they must not push out sound ones.
        earlier = [old for iteration, old in folder.checkpoints() if iteration < checkpoint.iteration]
        for old in earlier[: max(0, len(earlier) - (keep - 1))]:
            old.unlink()
    except (OSError, RuntimeError) as error:
        raise UnwrittenCheckpointError(path, error) from error
    return path


def save_best(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Write ``best_mIoU.pth`` alone.

    Raises:
        UnwrittenCheckpointError: when the disk is full or cannot be written.
    """
    try:
        _write(checkpoint, folder.best)
    except (OSError, RuntimeError) as error:
        raise UnwrittenCheckpointError(folder.best, error) from error


def _write(checkpoint: Checkpoint, path: Path) -> None:
    content = {"format": FORMAT, **vars(checkpoint), "best": vars(checkpoint.best)}
    with atomic_path(path, durable=True) as temporary:
        torch.save(content, temporary)


def _remedy(directory: Path, error: OSError | RuntimeError) -> str:
    """What to do about a checkpoint that could not be written."""
    if not directory.is_dir():
        return "The run directory was deleted or moved. Move it back"
    if isinstance(error, OSError) and error.errno in _IN_THE_WAY:
        return f"Remove {error.filename2 or error.filename or 'what is in its place'}"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "Make the run directory writable"
    return "Free space on that disk"


def copy_checkpoint(path: Path, name: Path) -> None:
    """Give ``name`` the content of ``path`` in blocks of its own."""
    # Read and written: the system's own ways to copy a file share its blocks on some file systems.
    with (
        atomic_path(name, durable=True) as temporary,
        path.open("rb") as reading,
        temporary.open("wb") as writing,
    ):
        shutil.copyfileobj(reading, writing, 1 << 24)


class Saver:
    """Writes the checkpoints of a run; the main process has it."""

    def __init__(self, folder: RunFolder, keep: int) -> None:
        """``keep``: how many ``iter_<n>.pth`` stay."""
        self._folder, self._keep = folder, keep
        self._newest: Checkpoint | None = None
        self._best: Checkpoint | None = None
        self._error: UnwrittenCheckpointError | None = None
        self._failing_since = self._due = self._wait_s = 0.0

    @property
    def trouble(self) -> str | None:
        """Why checkpoints wait in memory; ``None`` if none does."""
        return f"{self._error.what}. {self._error.remedy}." if self._error else None

    def save(self, checkpoint: Checkpoint, *, is_best: bool) -> Path | None:
        """Write a checkpoint; ``None`` if it could not be written and waits for ``retry``.

        One that waits gives way to a newer one, except for the best.
        """
        try:
            path = save_checkpoint(self._folder, checkpoint, is_best=is_best, keep=self._keep)
        except UnwrittenCheckpointError as error:
            kept = _on_host(checkpoint)
            self._newest, self._best = kept, kept if is_best else self._best
            self._failed(error)
            return None
        self._newest = None
        if is_best:
            self._best = None
        if self._error:
            logger.info("checkpoints can be written again")
            self._over_if_nothing_waits()
        self.retry(now=True)
        return path

    def retry(self, *, now: bool = False) -> None:
        """Write what waits, if it is time to try again.

        Raises:
            DiffBEVError: the run directory has been gone for so long that it must have been deleted.
        """
        if not (self._newest or self._best) or not (now or time.monotonic() >= self._due):
            return
        try:
            if self._newest:
                save_checkpoint(self._folder, self._newest, is_best=False, keep=self._keep)
                logger.info(f"the checkpoint of iteration {self._newest.iteration} is written")
                self._newest = None
            if self._best:
                save_best(self._folder, self._best)
                self._best = None
        except UnwrittenCheckpointError as error:
            self._failed(error)
            return
        self._over_if_nothing_waits()

    def settle(
        self, patience_s: float, asked_to_stop: Callable[[], object], waiting: Callable[[], None]
    ) -> None:
        """Try until everything is written: what is not then is lost.

        Args:
            patience_s: how long at most.
            asked_to_stop: whether somebody wants this process to end; looked at five times a second.
            waiting: called as often.

        Raises:
            DiffBEVError: something could not be written in that time.
        """
        end = time.monotonic() + patience_s
        self.retry(now=True)
        while self._error:
            if time.monotonic() >= end or self._error.hopeless or asked_to_stop():
                raise self._error
            waiting()
            time.sleep(_LOOK_S)
            self.retry()

    def _over_if_nothing_waits(self) -> None:
        if not (self._newest or self._best):
            self._error, self._wait_s = None, 0.0

    def _failed(self, error: UnwrittenCheckpointError) -> None:
        now = time.monotonic()
        if self._error is None:
            self._failing_since = now
        self._wait_s = min(max(FIRST_WAIT_S, 2 * self._wait_s), LONGEST_WAIT_S)
        self._due = now + self._wait_s
        if not self._folder.path.is_dir() and now - self._failing_since > WITHOUT_DIRECTORY_S:
            raise error
        if self._error is None:
            logger.warning(
                f"{error.what}. {error.remedy}. Training continues: this checkpoint is kept in memory, "
                f"earlier ones stay on the disk, and writing is tried again in {duration(self._wait_s)}, "
                f"later every {duration(LONGEST_WAIT_S)}."
            )
        self._error = error


def _on_host(checkpoint: Checkpoint) -> Checkpoint:
    """A copy that later iterations do not change."""
    return replace(
        checkpoint,
        model=copied_to_host(checkpoint.model),
        optimizer=copied_to_host(checkpoint.optimizer),
        scaler=copied_to_host(checkpoint.scaler),
        meter=copied_to_host(checkpoint.meter),
        best=replace(checkpoint.best),
    )
