"""From a batch to the losses: augmentation, network and loss terms, on tensors that are on the device.

What is random is drawn before, from the number of the pass, so that the rest is a pure function of tensors
and can be captured as a CUDA graph.

Dimension letters: B batch, H W image rows and columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import NamedTuple

import torch
from torch import Tensor

from diffbev_engine.config.settings import Settings
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.models.depth import depth_loss, depth_target
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.layout import LayoutDiffusion, with_layout
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.model import BEVModel, ModelOutput
from diffbev_engine.models.photometric import Distortion, distort, draw_distortion, normalise
from diffbev_engine.models.seeding import seeded_generator
from diffbev_engine.models.settings import ModelSettings
from diffbev_engine.train.distributed import Processes

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
COMPILED_FUNCTIONS = ("prepare", "segmentation_loss", "depth_loss")
"""What of an ``Objective`` may be replaced by its compiled form."""
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


class Inputs(NamedTuple):
    """All that the losses of one pass depend on besides the weights."""

    batch: Batch
    distortion: Distortion | None
    draws: Draws | None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, in an order that inputs of the same settings share."""
        parts = [getattr(self.batch, item.name) for item in fields(self.batch)]
        for value in (*parts, *(self.distortion or ()), *(self.draws or ())):
            if isinstance(value, Tensor):
                yield value

    def clone(self) -> "Inputs":
        """The same on memory of their own."""
        distortion, draws = self.distortion, self.draws
        if distortion is not None:
            distortion = Distortion(*(each.clone() for each in distortion))
        if draws is not None:
            given = {name: x.clone() for name, x in draws._asdict().items() if x is not None}
            draws = draws._replace(**given)
        return Inputs(self.batch.map(torch.clone), distortion, draws)


class Objective:
    """The losses of a model under the settings of its training.

    Args:
        model: The bare network.
        settings: Of the training.
        processes: Device and rank.

    Attributes:
        prepare: Uint8 images (B, 3, H, W) to normalised ones.
    """

    def __init__(self, model: BEVModel, settings: Settings, processes: Processes) -> None:
        self.model = model
        self.settings = settings
        self.device = processes.device
        self._rank = processes.shard.rank
        self._weights = loss_terms(settings.model)
        self.prepare: Callable[..., Tensor] = prepare
        self.segmentation_loss: Callable[..., Tensor] = SegmentationLoss(settings.model.loss).to(
            processes.device
        )
        self.depth_loss: Callable[..., Tensor] = depth_loss

    def inputs(self, batch: Batch, draw: int) -> Inputs:
        """A batch on the device with the random numbers of pass number ``draw``.

        They are a pure function of seed, draw and process; those of the diffusion are made on the device.
        """
        size, device, seed, rank = len(batch.tokens), self.device, self.settings.seed, self._rank
        distortion, draws = None, None
        if self.settings.data.photometric:
            drawn = draw_distortion(size, seeded_generator("cpu", seed, draw, rank))
            distortion = Distortion(*(each.to(device, non_blocking=True) for each in drawn))
        if self.model.diffusion is not None:
            generator = seeded_generator(device, seed, draw, rank, _DIFFUSION_STREAM)
            draws = self.model.diffusion.training_draws(size, generator)
        return Inputs(batch, distortion, draws)

    def losses(self, inputs: Inputs) -> dict[str, Tensor]:
        """The terms and their weighted sum, float32 scalars."""
        settings, batch = self.settings, inputs.batch
        images = self.prepare(
            batch.images, inputs.distortion, self.model.pixel_mean, self.model.pixel_std
        )  # B x 3 x H x W
        valid, classes = batch.valid(settings.data.mask), batch.classes()
        draws = inputs.draws
        if draws is not None and isinstance(self.model.diffusion, LayoutDiffusion):
            draws = with_layout(draws, classes, valid, batch.known)
        with autocast(self.device, settings.precision):
            output: ModelOutput = self.model(images, batch.intrinsics, draws, batch.depth)
        losses = {"Lwce": self.segmentation_loss(output.logits, classes, valid, batch.known)}
        if settings.model.depth_loss:
            losses["Ldepth"] = self._depth_term(output.depth_logits, batch)
        if output.noise_error is not None:
            losses["Ldiff"] = output.noise_error
        total = torch.stack([self._weights[name] * term for name, term in losses.items()]).sum()
        return losses | {"loss": total}

    def _depth_term(self, depth_logits: Tensor, batch: Batch) -> Tensor:
        assert self.settings.model.depth_loss is not None
        assert batch.depth is not None, "settings with a depth loss load depth"
        lift, stride = self.model.lift, self.model.backbone.stride
        target = depth_target(batch.depth, lift.depths, lift.feature_size, stride)
        return self.depth_loss(depth_logits, target, self.settings.model.depth_loss.form)


def prepare(images: Tensor, distortion: Distortion | None, mean: Tensor, std: Tensor) -> Tensor:
    """Uint8 RGB images (B, 3, H, W) as the network takes them: distorted, where that is drawn, normalised."""
    return normalise(images if distortion is None else distort(images, distortion), mean, std)
