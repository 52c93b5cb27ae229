"""One training step: batch to losses, gradients and new weights, without waiting for the device."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.garbage import collector_paused
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.models.half_weights import half_weights
from diffbev_engine.models.model import BEVModel
from diffbev_engine.train.checkpoint import Checkpoint, load_weights
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.objective import AUTOCAST_DTYPES, Inputs, Objective, loss_names
from diffbev_engine.train.optimizer import (
    build_optimizer,
    learning_rate,
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
)
from diffbev_engine.train.restore_point import RestorePoint, running_averages
from diffbev_engine.train.step_graph import GraphedStep, nothing


class TrainingStep:
    """Model, optimizer and loss scaler, advanced one iteration at a time.

    Attributes:
        learning_rate: Of the last step.
        await_compilers: Returns when what compiles parts of the step ahead is done, or told to leave;
            the first step calls it.
        halves_weights: Whether weights are converted to half precision once per pass; see ``half_weights``.
    """

    def __init__(self, model: BEVModel, settings: Settings, processes: Processes) -> None:
        """Take the bare model, of measured priors, the same in all processes."""
        self.model = model
        self._settings = settings
        self._average: ModelEmaV3 | None = None
        if settings.ema:
            # Of batch norm's running averages too: they belong to the averaged weights.
            self._average = ModelEmaV3(model, settings.ema.decay, use_warmup=True)
        self._processes = processes
        self.objective = Objective(model, settings, processes)
        self._names = loss_names(settings.model)
        self.learning_rate = settings.optimizer.lr
        self.optimizer = build_optimizer(model, settings.optimizer)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=settings.precision == "fp16")
        self.restore_point = RestorePoint(model, processes.device)
        self._running_averages = [x for x in running_averages(model).values() if x.is_floating_point()]
        self.await_compilers: Callable[..., None] = _at_once
        self.halves_weights = False
        self._weights = {name: weight.detach() for name, weight in model.named_parameters()}
        self.graphs = GraphedStep(model, self._backward, self._apply_gradients, self._drop_gradients)

    @property
    def evaluated_model(self) -> BEVModel:
        """The model that is scored: with averaged weights where an average is kept."""
        if self._average is None:
            return self.model
        averaged: BEVModel = self._average.module
        return averaged

    def run(self, iteration: int, batches: list[Batch]) -> tuple[dict[str, Tensor], Tensor]:
        """Do one optimizer step on ``batches``, whose gradients are averaged.

        Args:
            iteration: number of optimizer steps done before this one.
            batches: ``cumulative_iters`` batches on the device.

        Returns:
            The losses by name and the gradient norm before clipping, all on the device.
        """
        self.await_compilers()
        settings = self._settings
        base_lr, max_iters = settings.optimizer.lr, settings.runner.max_iters
        self.learning_rate = learning_rate(iteration, base_lr, max_iters, settings.lr_config)
        set_learning_rate(self.optimizer, self.learning_rate)
        passes = [
            self.objective.inputs(batch, iteration * len(batches) + number)
            for number, batch in enumerate(batches)
        ]
        self.restore_point.began()
        self.graphs.begin(passes)
        sums: Tensor | None = None
        for number, inputs in enumerate(passes):
            last = number == len(passes) - 1
            went_forward = self.restore_point.went_forward if last else nothing
            losses = self.graphs.backward(inputs, number, went_forward)
            sums = losses / len(passes) if sums is None else sums + losses / len(passes)
        assert sums is not None, "a step has a batch"
        self._processes.average([*self.graphs.gradients(), *self._running_averages])
        with self.restore_point.updating(iteration + 1):
            norm = self.graphs.update()
            if self._average is not None:
                self._average.update(self.model, iteration + 1)
            return dict(zip(self._names, sums.unbind(), strict=True)), norm

    def _backward(self, inputs: Inputs, went_forward: Callable[[], None]) -> Tensor:
        """Add the gradients of one pass; returns its losses in the order of their names."""
        passes = self._settings.optimizer_config.cumulative_iters
        precision = AUTOCAST_DTYPES[self._settings.precision]
        halves = half_weights(self.model, precision) if self.halves_weights else nullcontext()
        with halves, collector_paused():  # compiling makes many objects, which stay
            losses = self.objective.losses(inputs)
            went_forward()
            self.scaler.scale(losses["loss"] / passes).backward()
        return torch.stack([losses[name].detach() for name in self._names])

    def _apply_gradients(self) -> Tensor:
        clip = self._settings.optimizer_config.grad_clip
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip.max_norm if clip else float("inf"))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _drop_gradients(self) -> None:
        """Forget an unfinished step; the loss scale stays, what the scaler knows of the step goes."""
        self.optimizer.zero_grad(set_to_none=True)
        scale = self.scaler.state_dict()
        self.scaler = torch.amp.GradScaler(self._processes.device.type, enabled=self.scaler.is_enabled())
        self.scaler.load_state_dict(scale)

    def load_state(self, checkpoint: Checkpoint, origin: Path) -> None:
        """Continue weights, their average, optimizer and loss scaler; the settings of this start apply.

        Raises:
            UsageError: the state belongs to another network.
        """
        load_weights(self.model, checkpoint.model, origin)
        if self._average is not None:  # which begins here where the checkpoint has none
            load_weights(self._average.module, checkpoint.evaluated_weights, origin)
        try:
            load_optimizer_state(self.optimizer, checkpoint.optimizer)
            if checkpoint.scaler and self.scaler.is_enabled():  # empty where it was not trained in fp16
                self.scaler.load_state_dict(checkpoint.scaler)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UsageError(
                f"{origin}: the optimizer state does not fit the model ({error}). Use the configuration it "
                "was trained with (see run.json in the same directory)."
            ) from error

    def state(self) -> dict[str, Any]:
        """Weights and optimizer state, for a checkpoint."""
        model = self.model.state_dict()
        # Another thread may save while a pass of the main thread uses half-precision copies.
        model.update(self._weights)
        return {
            "model": model,
            "optimizer": optimizer_state(self.optimizer, self.learning_rate),
            "scaler": self.scaler.state_dict(),
            "ema": {} if self._average is None else self._average.module.state_dict(),
        }


def _at_once(_leave: Callable[[], bool] | None = None) -> None:
    """Nothing is compiled ahead."""
