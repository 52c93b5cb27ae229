"""One training step: batch to losses, gradients and new weights, without waiting for the device.

Dimension letters: B batch, H W image rows and columns, Z X BEV rows and columns.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.models.depth import depth_loss, depth_target
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.layout import LayoutDiffusion, with_layout
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.model import BEVModel, ModelOutput
from diffbev_engine.models.photometric import distort, draw_distortion, normalise
from diffbev_engine.models.seeding import seeded_generator
from diffbev_engine.models.settings import ModelSettings
from diffbev_engine.train.checkpoint import Checkpoint, load_weights
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.optimizer import (
    build_optimizer,
    learning_rate,
    load_optimizer_state,
    set_learning_rate,
)
from diffbev_engine.train.restore_point import RestorePoint

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_DIFFUSION_STREAM = 1  # apart from the numbers of the photometric distortion


def loss_terms(settings: ModelSettings) -> dict[str, float]:
    """The terms of the loss and their weights."""
    terms = {"Lwce": 1.0}
    if settings.depth_loss:
        terms["Ldepth"] = settings.depth_loss.weight
    if settings.diffusion:
        terms["Ldiff"] = settings.diffusion.weight
    return terms


def loss_names(settings: ModelSettings) -> tuple[str, ...]:
    """What a training step returns: the terms, unweighted, then their weighted sum."""
    return (*loss_terms(settings), "loss")


def loss_composition(settings: ModelSettings) -> str:
    """Such as ``loss = Lwce + 10·Ldepth + 1·Ldiff``."""
    terms = [
        name if name == "Lwce" else f"{weight:g}·{name}" for name, weight in loss_terms(settings).items()
    ]
    return f"loss = {' + '.join(terms)}"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The arithmetic of the network under ``precision``."""
    return torch.autocast(device.type, AUTOCAST_DTYPES[precision], enabled=precision != "fp32")


class TrainingStep:
    """Model, optimizer and loss scaler, advanced one iteration at a time."""

    def __init__(self, model: BEVModel, settings: Settings, processes: Processes) -> None:
        """Take the bare model, of measured priors; with several processes gradients are averaged by DDP."""
        self.model = model
        self._settings = settings
        self._processes = processes
        self._average: ModelEmaV3 | None = None
        if settings.ema:
            # Of batch norm's running averages too: they belong to the averaged weights.
            self._average = ModelEmaV3(model, settings.ema.decay, use_warmup=True)
        self._parallel = model if processes.control is None else nn.parallel.DistributedDataParallel(model)
        self._segmentation_loss = SegmentationLoss(settings.model.loss).to(processes.device)
        self.optimizer = build_optimizer(model, settings.optimizer)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=settings.precision == "fp16")
        self.restore_point = RestorePoint(model, processes.device)

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
        settings = self._settings
        base_lr, max_iters = settings.optimizer.lr, settings.runner.max_iters
        set_learning_rate(self.optimizer, learning_rate(iteration, base_lr, max_iters, settings.lr_config))
        sums: dict[str, Tensor] = {}
        self.restore_point.began()
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last else self._without_reduction():
                losses = self._losses(batch, iteration * len(batches) + number)
                if last:
                    self.restore_point.went_forward()
                self.scaler.scale(losses["loss"] / len(batches)).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        with self.restore_point.updating(iteration + 1):
            norm = self._apply_gradients()
            if self._average is not None:
                self._average.update(self.model, iteration + 1)
            return sums, norm

    def _without_reduction(self) -> AbstractContextManager[None]:
        """Keep gradients local: only the last backward of an iteration averages them."""
        if isinstance(self._parallel, nn.parallel.DistributedDataParallel):
            return self._parallel.no_sync()
        return nullcontext()

    def _losses(self, batch: Batch, draw: int) -> dict[str, Tensor]:
        settings, device = self._settings, self._processes.device
        images = batch.images  # B x 3 x H x W
        if settings.data.photometric:
            generator = seeded_generator("cpu", settings.seed, draw, self._processes.shard.rank)
            images = distort(images, draw_distortion(len(images), generator))
        images = normalise(images, self.model.pixel_mean, self.model.pixel_std)
        with autocast(device, settings.precision):
            output: ModelOutput = self._parallel(
                images, batch.intrinsics, self._draws(batch, draw), batch.depth
            )
        valid = batch.valid(settings.data.mask)
        losses = {"Lwce": self._segmentation_loss(output.logits, batch.classes(), valid, batch.known)}
        if settings.model.depth_loss:
            losses["Ldepth"] = self._depth_loss(output.depth_logits, batch)
        if output.noise_error is not None:
            losses["Ldiff"] = output.noise_error
        weights = loss_terms(settings.model)
        return losses | {"loss": torch.stack([weights[name] * term for name, term in losses.items()]).sum()}

    def _draws(self, batch: Batch, draw: int) -> Draws | None:
        """Noise of the diffusion: a pure function of seed, draw and process, made on the device."""
        if self.model.diffusion is None:
            return None
        key = (self._settings.seed, draw, self._processes.shard.rank, _DIFFUSION_STREAM)
        generator = seeded_generator(self._processes.device, *key)
        draws = self.model.diffusion.training_draws(len(batch.tokens), generator)
        if not isinstance(self.model.diffusion, LayoutDiffusion):
            return draws
        return with_layout(draws, batch.classes(), batch.valid(self._settings.data.mask), batch.known)

    def _depth_loss(self, depth_logits: Tensor, batch: Batch) -> Tensor:
        assert self._settings.model.depth_loss is not None
        assert batch.depth is not None, "settings with a depth loss load depth"
        lift, stride = self.model.lift, self.model.backbone.stride
        target = depth_target(batch.depth, lift.depths, lift.feature_size, stride)
        return depth_loss(depth_logits, target, self._settings.model.depth_loss.form)

    def _apply_gradients(self) -> Tensor:
        clip = self._settings.optimizer_config.grad_clip
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip.max_norm if clip else float("inf"))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

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
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": {} if self._average is None else self._average.module.state_dict(),
        }
