"""The checkpoints of a run: with the other processes, alone where one was lost, and before any other end."""

import time
from dataclasses import replace
from typing import Any

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, DivergedError, ExitCode
from diffbev_engine.core.format import points
from diffbev_engine.dataset.camera_ranges import CameraRanges
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import RunHeldError, sole_writer
from diffbev_engine.train import random_state
from diffbev_engine.train.checkpoint import Checkpoint, Progress
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.meter import Meter
from diffbev_engine.train.peers import Activity
from diffbev_engine.train.recorder import Recorder, logger
from diffbev_engine.train.saving import Saver, save_checkpoint
from diffbev_engine.train.signals import StopRequest
from diffbev_engine.train.step import TrainingStep

LEAVING_S = 20.0
"""For how long a process that was asked to leave tries to write its checkpoint."""
_LOCKED_S = 5.0
"""How long the run directory may stay locked after the main process was lost."""


class RunCheckpoints:
    """Makes checkpoints of a ``TrainingStep`` and what belongs to it; the main process writes them."""

    def __init__(
        self,
        step: TrainingStep,
        meter: Meter,
        settings: Settings,
        folder: RunFolder,
        processes: Processes,
        cameras: CameraRanges,
    ) -> None:
        """Wire the parts."""
        self.recorder: Recorder | None = None
        """Of the main process."""
        self._step = step
        self._meter = meter
        self._settings = settings
        self._folder = folder
        self._cameras = cameras
        self._processes = processes
        self._keep = settings.checkpoint_config.max_keep_ckpts
        self._saver = Saver(folder, self._keep)
        self._saved: Progress | None = None

    def save(self, progress: Progress, *, is_best: bool = False) -> None:
        """Write a checkpoint; all processes take part, and have checked that training has not diverged."""
        random = self._processes.gather(random_state.capture())
        meter = self._meter.state()
        if self.recorder:
            self._write(progress, self._step.state(), meter, random, is_best=is_best)
        self._saved = replace(progress)

    def _write(
        self,
        progress: Progress,
        state: dict[str, Any],
        meter: dict[str, Any],
        random: list[Any],
        *,
        is_best: bool = False,
    ) -> None:
        settings = self._settings.model_dump(mode="json")
        self._processes.now(Activity.SAVING)
        checkpoint = Checkpoint(
            **vars(progress),
            **state,
            meter=meter,
            random=random,
            settings=settings,
            cameras=self._cameras.to_plain(),
        )
        if self.recorder is None:
            self._write_for_main(checkpoint)
            return
        with self.recorder.saving():
            path = self._saver.save(checkpoint, is_best=is_best)
        self.recorder.trouble("checkpoint", self._saver.trouble)
        self.recorder.status.update(step=progress.iteration)
        if path is None:
            return
        self.recorder.status.update(last_checkpoint=path.name)
        logger.info(f"saved {path}" + (f" (best mIoU {points(checkpoint.best.miou, 2)})" if is_best else ""))

    def _write_for_main(self, checkpoint: Checkpoint) -> None:
        """Write what the main process no longer can; it must not still be writing itself."""
        assert self._processes.heartbeat
        self._processes.heartbeat.end_lost()
        deadline = time.monotonic() + _LOCKED_S
        while True:
            try:
                with sole_writer(self._folder):
                    save_checkpoint(self._folder, checkpoint, is_best=False, keep=self._keep)
                return
            except RunHeldError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOCKED_S / 20)

    @property
    def waiting(self) -> bool:
        """Whether a checkpoint could not be written yet."""
        return self._saver.trouble is not None

    def retry(self) -> None:
        """Try to write what waits, if it is time to."""
        if self.recorder:
            self._processes.now(Activity.SAVING)
            self._saver.retry()
            self.recorder.trouble("checkpoint", self._saver.trouble)

    def settle(self, patience_s: float, stop: StopRequest | None = None) -> None:
        """Try to write checkpoints that wait, as nothing else is left to do; until ``stop``."""
        if self.recorder:
            self._processes.now(Activity.SAVING)
            with self.recorder.saving():
                self._saver.settle(patience_s, lambda: stop, self.recorder.status.update)
            self.recorder.trouble("checkpoint", self._saver.trouble)

    def rescue(self, progress: Progress, error: BaseException) -> None:
        """Save what an unexpected end would lose, where weights are finite and of a whole iteration.

        Args:
            progress: where training stands.
            error: what ends it.
        """
        if isinstance(error, DivergedError) or self._saved == progress or not progress.iteration:
            return
        try:
            if self._processes.control:
                self.save_alone(progress, DiffBEVError(str(error)))  # the others do not know of this end
            else:
                self._meter.check()
                logger.info(f"saved iteration {self._last_common(progress)} before leaving")
        except Exception as failed:  # the error that ends the run is what the user must see
            logger.warning(f"iteration {progress.iteration} could not be saved: {failed}")

    def save_alone(self, progress: Progress, lost: DiffBEVError) -> DiffBEVError:
        """Save without the other processes, where this one is to, after ``lost``; returns what to tell.

        It continues bit for bit, except that the random generators of the other processes begin again.
        """
        writes = self.recorder is not None or self._processes.succeeds_main
        if not writes or lost.exit_code is ExitCode.DIVERGED:
            return lost
        self._processes.now(Activity.SAVING)
        where = f"iteration {progress.iteration}"
        try:
            where = f"iteration {self._last_common(progress)}; {self._folder.latest} holds everything"
        except Exception as error:  # the loss itself must be told all the same
            where += f", but nothing was saved: {str(error).removesuffix('.')}"
        self._processes.now(Activity.LEAVING)
        failure = DiffBEVError(f"{str(lost).removesuffix('.')}. Training stopped at {where}.")
        failure.exit_code = lost.exit_code
        return failure

    def _last_common(self, progress: Progress) -> int:
        """Save the last iteration that all processes had in common; returns which it was."""
        shard = self._processes.shard
        found = self._step.restore_point.take(self._step.state)
        if found.iteration > (self._saved.iteration if self._saved else 0):
            if not all(tensor.isfinite().all() for tensor in found.state["model"].values()):
                raise DiffBEVError("the weights are not finite")
            same = found.iteration == progress.iteration
            then = Progress(found.iteration, progress.evaluated if same else True, progress.best)
            random = [found.random if rank == shard.rank else None for rank in range(shard.world_size)]
            alone = same and self._processes.control is None
            meter = self._meter.state() if alone else self._meter.empty_state()
            self._write(then, found.state, meter, random)
            self.settle(LEAVING_S)
        return found.iteration
