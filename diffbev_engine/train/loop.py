"""The training loop: step, log, save, evaluate; stop cleanly on a signal, a NaN or a damaged file."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, InterruptedTraining
from diffbev_engine.dataset.camera_ranges import CameraRanges
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.models.cuda_graph import GraphMemory
from diffbev_engine.models.model import BEVModel
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.status import RunState
from diffbev_engine.train import random_state
from diffbev_engine.train.checkpoint import Best, Checkpoint, Progress
from diffbev_engine.train.clock import StepClock
from diffbev_engine.train.depth_watch import DepthWatch
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.meter import Meter
from diffbev_engine.train.objective import loss_names
from diffbev_engine.train.peers import Activity
from diffbev_engine.train.recorder import Recorder, Scores
from diffbev_engine.train.run_checkpoints import LEAVING_S, RunCheckpoints
from diffbev_engine.train.signals import StopRequest
from diffbev_engine.train.step import TrainingStep
from diffbev_engine.train.workers import WorkerWatch, dead_worker, is_dead_worker

Evaluate = Callable[[BEVModel, GraphMemory | None, Callable[[int], None], Callable[[float], None]], Scores]
"""Scores the model; its CUDA graphs compute in the memory of the training step's, where there are such.
Calls back with the number of images done, and while it waits for a batch with the seconds so far; both may
raise to stop it."""

_AT_THE_END_S = 12 * 3600.0
"""For how long a run that is done tries to write its last one: over a night."""


class StopEvaluation(Exception):
    """A signal arrived while evaluating."""


class StopWaiting(Exception):
    """A signal arrived, or a loader process died, while waiting for a batch."""


class TrainingLoop:
    """Advances a ``TrainingStep`` to ``max_iters`` and keeps its run directory."""

    def __init__(
        self,
        step: TrainingStep,
        settings: Settings,
        folder: RunFolder,
        processes: Processes,
        evaluate: Evaluate,
        stop: StopRequest,
        cameras: CameraRanges,
    ) -> None:
        """Wire the parts."""
        self._step = step
        self._settings = settings
        self._folder = folder
        self._processes = processes
        self._evaluate = evaluate
        self._stop = stop
        self._recorder: Recorder | None = None
        self._workers = WorkerWatch()
        self._depth = DepthWatch(expected=settings.model.depth_loss is not None)
        self._meter = Meter(
            loss_names(settings.model), processes.device, guard_grad_norm=settings.precision != "fp16"
        )
        self._checkpoints = RunCheckpoints(step, self._meter, settings, folder, processes, cameras)
        self._clock = StepClock()
        self.progress = Progress()

    def restore(self, checkpoint: Checkpoint, origin: Path) -> None:
        """Continue from ``checkpoint`` bit for bit: weights, optimizer, random numbers, running means."""
        self._step.load_state(checkpoint, origin)
        self._meter.load_state(checkpoint.meter)
        rank = self._processes.shard.rank
        if rank < len(checkpoint.random) and checkpoint.random[rank] is not None:
            random_state.restore(checkpoint.random[rank])
        self.progress = Progress(checkpoint.iteration, checkpoint.evaluated, checkpoint.best)

    def run(self, batches: Iterator[Batch], recorder: Recorder | None) -> None:
        """Train until ``max_iters``.

        Args:
            batches: of this process, in order.
            recorder: of the run directory; the main process alone has one.

        Raises:
            InterruptedTraining: on a signal that asks to stop, after a checkpoint was written.
            DivergedError: when a loss is not finite; no checkpoint is written.
            DiffBEVError: a damaged file or a killed loader process (after a checkpoint was written),
                or a full disk.
        """
        self._recorder = self._checkpoints.recorder = recorder
        gc.collect()
        gc.freeze()  # what lives now lives to the end; later collections need not check it
        self._step.restore_point.mark(self.progress.iteration)
        try:
            self._workers.hold()
            self._evaluate_if_due()
            while self.progress.iteration < self._settings.runner.max_iters:
                self._iterate(batches)
                self._write_readings()
                self._save_and_evaluate_if_due()
            self._checkpoints.settle(_AT_THE_END_S, self._stop)
        except StopEvaluation:
            self._leave_if_asked()
        except BaseException as error:
            if lost := self._processes.lost(error):
                raise self.save_alone(lost) from error
            self._checkpoints.rescue(self.progress, error)
            raise
        finally:
            self._workers.release()
            gc.unfreeze()

    def while_waiting(self, seconds: float) -> None:
        """Look around while a batch is not there yet.

        Raises:
            StopWaiting: this process shall stop, or a loader process has died.
            LostProcessError: another process was lost.
        """
        self._processes.check()
        if self._stop or self._workers.failure:
            raise StopWaiting
        if self._recorder:
            self._recorder.waiting_for_data(seconds, self._settings.data_root)

    def _while_evaluation_waits(self, seconds: float) -> None:
        try:
            self.while_waiting(seconds)
        except StopWaiting:
            if self._workers.failure:
                raise self._workers.failure from None
            self._stop_evaluation_if_asked()

    def _iterate(self, batches: Iterator[Batch]) -> None:
        iteration, device = self.progress.iteration, self._processes.device
        self._processes.now(Activity.LOADING, iteration + 1)
        with self._clock.waiting():
            drawn, damage = self._draw(batches)
        self._step.await_compilers(lambda: bool(self._stop))
        self._leave_if_asked(damage)
        self._processes.now(Activity.STEPPING, iteration + 1)
        if self._recorder:
            self._recorder.got_data()
        self._depth.look(drawn)
        losses, grad_norm = self._step.run(iteration, [batch.to(device) for batch in drawn])
        self._processes.now(Activity.RECORDING, iteration + 1)
        self.progress.iteration = iteration + 1
        self.progress.evaluated = not self._evaluation_due()
        self._meter.add(self.progress.iteration, losses, grad_norm)
        self._clock.count(sum(len(batch.tokens) for batch in drawn) * self._processes.shard.world_size)
        if self._recorder:
            self._recorder.iterated(self.progress.iteration, self._clock.usual_s())
        if self._due(self._settings.log_config.interval):
            read = {"lr": self._step.learning_rate, **self._clock.read(), **_memory(device)}
            self._meter.publish(self.progress.iteration, read)
            gc.collect(1)

    def _draw(self, batches: Iterator[Batch]) -> tuple[list[Batch], DiffBEVError | None]:
        """The batches of one iteration, or why there are none."""
        if self._workers.failure:
            return [], dead_worker(self._workers.failure)
        try:
            drawn = [next(batches) for _ in range(self._settings.optimizer_config.cumulative_iters)]
        except DiffBEVError as damage:
            return [], damage
        except StopWaiting:
            return [], dead_worker(self._workers.failure) if self._workers.failure else None
        except Exception as error:
            if not is_dead_worker(error):
                raise
            return [], self._workers.told(error)
        self._workers.hold()
        return drawn, None

    def _write_readings(self, *, wait: bool = False) -> None:
        for reading in self._meter.readings(wait=wait):
            if self._recorder:
                self._recorder.training_row(reading)

    def _leave_if_asked(self, damage: DiffBEVError | None = None) -> None:
        """Save and leave, all processes together, if one was asked to stop or cannot continue."""
        if not self._processes.any(bool(self._stop) or damage is not None):
            return
        self._save()
        self._checkpoints.settle(LEAVING_S)
        where = f"iteration {self.progress.iteration}; {self._folder.latest} holds everything"
        if damage is not None:
            raise DiffBEVError(f"{damage} Training stopped at {where}.") from damage
        if not self._stop:
            raise InterruptedTraining(f"another process of this run stopped it at {where}.")
        raise InterruptedTraining(f"stopped by {self._stop.signal_name} at {where}. Continue with --resume.")

    def _save_and_evaluate_if_due(self) -> None:
        if self._checkpoints.waiting:
            with self._clock.paused():
                self._checkpoints.retry()
        saving = self._due(self._settings.checkpoint_config.interval)
        if saving or not self.progress.evaluated:
            with self._clock.paused():
                self._save()
                self._evaluate_if_due()

    def _evaluate_if_due(self) -> None:
        if self.progress.evaluated:
            return
        step = self.progress.iteration
        self._processes.now(Activity.STARTING_EVALUATION, step)
        if self._recorder:
            self._recorder.status.update(state=RunState.EVALUATING, step=step)
        try:
            scores = self._evaluate(
                self._step.evaluated_model,
                self._step.graphs.memory,
                self._after_evaluated_batch,
                self._while_evaluation_waits,
            )
        except Exception as error:
            if not is_dead_worker(error):
                raise
            told = self._workers.told(error)
            where = f"evaluating iteration {step}; resuming from it repeats the evaluation"
            raise DiffBEVError(f"{told} Training stopped while {where}.") from error
        self.progress.evaluated = True
        is_best = self.progress.best.beaten_by(scores.miou)
        if is_best:
            self.progress.best = Best(scores.miou, step)
        if self._recorder:
            self._recorder.evaluation_row(step, scores)
        self._save(is_best=is_best)
        if self._recorder:
            best = self.progress.best
            self._recorder.status.update(
                state=RunState.TRAINING,
                phase=self._recorder.phase_at(step),
                evaluated=None,
                last_miou=scores.miou,
                last_miou_step=step,
                best_miou=best.miou,
                best_step=best.step,
            )

    def _after_evaluated_batch(self, images: int) -> None:
        self._processes.now(Activity.EVALUATING, images)
        if self._recorder:
            self._recorder.status.update(evaluated=f"{images * self._processes.shard.world_size} images")
            self._recorder.got_data()
        self._stop_evaluation_if_asked()

    def _stop_evaluation_if_asked(self) -> None:
        if self._processes.any(bool(self._stop)):
            raise StopEvaluation

    def _save(self, *, is_best: bool = False) -> None:
        """Write a checkpoint, unless training has diverged; all processes take part."""
        self._processes.now(Activity.STEPPING, self.progress.iteration)  # on the GPU, which is waited for
        self._meter.check()
        self._write_readings(wait=True)
        self._checkpoints.save(self.progress, is_best=is_best)

    def save_alone(self, lost: DiffBEVError) -> DiffBEVError:
        """Save without the other processes, where this one is to, after ``lost``; returns what to tell."""
        return self._checkpoints.save_alone(self.progress, lost)

    def _due(self, interval: int) -> bool:
        step = self.progress.iteration
        return step % interval == 0 or step == self._settings.runner.max_iters

    def _evaluation_due(self) -> bool:
        """At every interval, and at the end of a run that is longer than one."""
        interval, last = self._settings.evaluation.interval, self._settings.runner.max_iters
        return self.progress.iteration % interval == 0 or self.progress.iteration == last > interval


def _memory(device: torch.device) -> dict[str, float | None]:
    if device.type != "cuda":
        return {"gpu_mem_mb": None}
    return {"gpu_mem_mb": torch.cuda.max_memory_reserved(device) / 2**20}
