"""The random numbers of the diffusion: in training of a seed, in evaluation of each image's token."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffbev_engine.models.seeding import seeded_generator


class Draws(NamedTuple):
    """The random numbers of one pass, and the ground truth that training adds for target ``layout``."""

    start: Tensor
    """(B, C, Z, X) standard normal: noise of what is denoised for the task."""
    times: Tensor | None = None
    """(B,) int64 in 1 … T: times of Ldiff, in training."""
    noise: Tensor | None = None
    """(B, C, Z, X) standard normal: noise of Ldiff, in training."""
    task_times: Tensor | None = None
    """(B,) int64 in 1 … T: times from which the task is denoised in training of target ``layout``."""
    layout: Tensor | None = None
    """(B, K, Z, X) share of each cell that belongs to each class, in training of target ``layout``."""
    weight: Tensor | None = None
    """(B, K, Z, X) share of each cell that is scored, in training of target ``layout``."""


def training_draws(
    shape: tuple[int, int, int], timesteps: int, batch: int, generator: torch.Generator
) -> Draws:
    """Those of one training pass over what has ``shape`` (C, Z, X), on the generator's device."""
    device, size = generator.device, (batch, *shape)
    return Draws(
        start=torch.randn(size, generator=generator, device=device),
        times=torch.randint(1, timesteps + 1, (batch,), generator=generator, device=device),
        noise=torch.randn(size, generator=generator, device=device),
    )


def evaluation_draws(
    shape: tuple[int, int, int], tokens: Sequence[str], seed: int, device: torch.device
) -> Draws:
    """Noise that belongs to each image: a pure function of its token, the seed and the device's type."""
    noises = []
    for token in tokens:
        key = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8], "big")
        noises.append(torch.randn(shape, generator=seeded_generator(device, seed, key), device=device))
    return Draws(start=torch.stack(noises))
