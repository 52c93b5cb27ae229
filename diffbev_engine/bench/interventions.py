"""What the head makes of the diffusion: scores of one checkpoint with the denoised feature replaced.

If a perfect denoiser does not score better than the network's own, a better denoiser cannot help; if zero
or another image's feature scores the same, the head does not use it.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.format import points
from diffbev_engine.core.progress import progress
from diffbev_engine.dataset.loader import BEVDataset, evaluation_loader
from diffbev_engine.dataset.records import Split, read_records
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.counts import CountStream, results_by_mask
from diffbev_engine.evaluate.network import DEFAULT_SEED
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.result import MASK_NAMES
from diffbev_engine.evaluate.run import trained_model
from diffbev_engine.models.diffbev import DiffBEV
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.layout import Conditioning, LayoutDiffusion, with_layout
from diffbev_engine.models.model import BEVModel
from diffbev_engine.models.photometric import normalise
from diffbev_engine.models.seeding import seeded_generator
from diffbev_engine.train.distributed import Processes, device_name
from diffbev_engine.train.objective import autocast

INTERVENTIONS = {
    "as trained": "nothing is replaced",
    "perfect": "what a perfect denoiser would return",
    "zero": "zeros instead of the denoised feature",
    "noise": "normal noise of the same variance instead of it",
    "other image": "the denoised feature of the next image of the batch",
    "not fused": "the BEV feature alone goes to the head",
    "no condition": "the denoiser has no condition: zeros",
    "other condition": "the denoiser has the condition of the next image of the batch",
}


@dataclass(frozen=True)
class Interventions:
    """Scores under each intervention."""

    checkpoint: str
    device: str
    images: int
    target: str
    mask: str
    miou: dict[str, dict[str, float]]
    """Intervention to ignore mask to mIoU, 0 to 1."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**vars(self), "meaning": INTERVENTIONS}

    def to_text(self) -> str:
        """A table for people, in percent points."""
        masks = list(self.miou["as trained"])
        lines = [f"{'intervention':<18}" + "".join(f"{'mIoU ' + mask:>14}" for mask in masks)]
        for name, scores in self.miou.items():
            cells = "".join(f"{points(scores[mask], 2):>14}" for mask in masks)
            lines.append(f"{name:<18}{cells}   {INTERVENTIONS[name]}")
        perfect = {"feature": "its own input, undisturbed", "layout": "found in the ground truth"}[
            self.target
        ]
        return "\n".join([*lines, f"{self.images} images, {self.device}; perfect: {perfect}"])


def intervene(settings: Settings, checkpoint: Path, split: Split, processes: Processes) -> Interventions:
    """Score ``checkpoint`` under every intervention; noise is that of an evaluation.

    Raises:
        UsageError: the model has no diffusion, or another architecture than the settings'.
        DiffBEVError: a damaged checkpoint or data file.
    """
    if settings.model.diffusion is None or settings.model.diffusion.process == "none":
        raise UsageError("this configuration has no diffusion to intervene in (see model.diffusion).")
    device = processes.device
    records = read_records(settings.data_root, split, settings.data.cameras)
    model, _ = trained_model(settings, checkpoint, device)
    batch_size = settings.evaluation.samples_per_gpu or settings.data.samples_per_gpu
    data = settings.data.model_copy(update={"load_depth": settings.model.lift.oracle})
    streams = {name: {mask: CountStream(device) for mask in MASK_NAMES} for name in INTERVENTIONS}
    done = 0
    loader = evaluation_loader(BEVDataset(records, data), batch_size, settings.data.workers_per_gpu)
    with closing(loader) as batches, progress(len(records), "intervene") as show:
        for batch in batches:
            if batch is None:
                continue
            moved = batch.to(device)
            for name, logits in _predict(model, moved, settings.precision).items():
                for mask, stream in streams[name].items():
                    stream.add(logits, moved.classes(), moved.valid(mask), moved.known)
            done += len(batch.tokens)
            show(done)
    return Interventions(
        checkpoint=str(checkpoint),
        device=device_name(device),
        images=len(records),
        target=settings.model.diffusion.target,
        mask=settings.evaluation.mask,
        miou={
            name: {mask: result.miou for mask, result in results_by_mask(masks).items()}
            for name, masks in streams.items()
        },
    )


@torch.inference_mode()
def _predict(model: BEVModel, batch: Batch, precision: str) -> dict[str, Tensor]:
    """The logits (B, 14, Z, X) under every intervention."""
    module, device = model.diffusion, batch.images.device
    assert module is not None
    draws = module.evaluation_draws(batch.tokens, DEFAULT_SEED, device)
    images = normalise(batch.images, model.pixel_mean, model.pixel_std)
    with reproducible_kernels(), autocast(device, precision):
        feature, depth_logits = model.encode(images, batch.intrinsics, batch.depth)
        mass = model.lift.depth_mass(depth_logits, batch.intrinsics)
        if isinstance(module, LayoutDiffusion):
            denoised, perfect, under = _of_layout(module, feature, mass, draws, batch)
        else:
            denoised, perfect, under = _of_feature(module, feature, mass, draws)
        generator = seeded_generator(device, DEFAULT_SEED)
        noise = torch.randn(denoised.shape, generator=generator, device=device) * denoised.std()
        replaced = {
            "as trained": denoised,
            "perfect": perfect,
            "zero": torch.zeros_like(denoised),
            "noise": noise,
            "other image": denoised.roll(1, 0),
            "no condition": under(torch.zeros_like),
            "other condition": under(lambda condition: condition.roll(1, 0)),
        }
        fused = {name: module.fusion(feature, each) for name, each in replaced.items()}
        return {name: model.head({**fused, "not fused": feature}[name]) for name in INTERVENTIONS}


Denoise = Callable[[Callable[[Tensor], Tensor]], Tensor]
"""Denoises once more under a changed condition."""


def _of_feature(
    module: DiffBEV, feature: Tensor, mass: Tensor, draws: Draws
) -> tuple[Tensor, Tensor, Denoise]:
    target, condition = module.target(feature), module.condition(feature, mass)

    def under(change: Callable[[Tensor], Tensor]) -> Tensor:
        return module.denoise(target, change(condition), draws)[0]

    return under(lambda same: same), target, under


def _of_layout(
    module: LayoutDiffusion, feature: Tensor, mass: Tensor, draws: Draws, batch: Batch
) -> tuple[Tensor, Tensor, Denoise]:
    conditioning = module.conditioning(feature, mass)
    truth = with_layout(draws, batch.classes(), batch.valid("fov"), batch.known).layout
    assert truth is not None
    almost_clean = torch.ones(len(truth), dtype=torch.int64, device=truth.device)

    def under(change: Callable[[Tensor], Tensor]) -> Tensor:
        return module.sample(Conditioning(*map(change, conditioning)), draws.start)

    return under(lambda same: same), module.recover(truth, conditioning, almost_clean, draws.start), under
