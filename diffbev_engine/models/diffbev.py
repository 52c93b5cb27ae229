"""DiffBEV module between BEV encoder and head: noise the BEV feature, denoise it conditionally, fuse.

Training and evaluation have the same structure: the standardised feature is noised to time
tau = start * T and denoised by a few DDIM steps; the result joins the original feature.  In training
the same pass through the U-Net also serves Ldiff, at a random time for every sample.

The standardised feature is a constant for the diffusion (no gradient): with a trainable target the
encoder could shrink it until its noise is trivial to predict, and Ldiff would fall to zero while
the features die.

Dimension letters: B batch, C channels, Z X BEV rows and columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.condition import Condition
from diffbev_engine.models.diffusion import GaussianDiffusion, ddim_times, standardise
from diffbev_engine.models.draws import Draws, evaluation_draws, training_draws
from diffbev_engine.models.fusion import Fusion
from diffbev_engine.models.settings import DiffusionSettings
from diffbev_engine.models.unet import ConditionalUNet


class Refined(NamedTuple):
    """What the module returns."""

    feature: Tensor
    """(B, C, Z, X): the original feature with the denoised one fused in."""
    noise_error: Tensor | None
    """Ldiff, mean squared error of the noise, a float32 scalar; None without ``Draws.times``."""


class DiffBEV(nn.Module):
    """Conditional diffusion on a BEV feature.

    Args:
        channels: Channels of the BEV feature.
        size: (Z, X) of the BEV feature.
        settings: Every axis of the method.

    Attributes:
        steps: DDIM steps in evaluation; may be changed between evaluations.

    Raises:
        UsageError: settings that do not fit together.
    """

    def __init__(self, channels: int, size: tuple[int, int], settings: DiffusionSettings) -> None:
        super().__init__()
        check_sizes(channels, settings)
        self.shape = (channels, *size)
        self.steps = settings.steps
        self._train_steps = settings.train_steps
        self._start = max(1, round(settings.start * settings.timesteps))
        self._clamp = settings.clamp
        self._compress = settings.compress
        self._deterministic = settings.process == "none"
        self.process = GaussianDiffusion(settings.schedule, settings.timesteps, settings.prediction)
        self.condition = Condition(settings.condition, channels, settings.groups)
        self.unet = ConditionalUNet(channels, settings)
        self.fusion = Fusion(settings.fusion, channels, size)

    def forward(self, feature: Tensor, depth_mass: Tensor, draws: Draws) -> Refined:
        """Refine ``feature``.

        Args:
            feature: (B, C, Z, X) BEV feature.
            depth_mass: (B, 1, Z, X) splatted depth distribution.
            draws: The random numbers; with ``times`` and ``noise`` Ldiff is computed too.
        """
        condition = self.condition(feature, depth_mass)
        if self._deterministic:  # the control: the same network on the feature itself
            x = standardise(feature)
            refined = x + self.unet(x, condition, self._full(self._start, x))
            return Refined(self.fusion(feature, refined), None if draws.times is None else x.new_zeros(()))
        denoised, noise_error = self.denoise(self.target(feature), condition, draws)
        return Refined(self.fusion(feature, denoised), noise_error)

    def target(self, feature: Tensor) -> Tensor:
        """What is noised and recovered, (B, C, Z, X) float32; no gradient flows through it."""
        standardised = standardise(feature.detach())
        return standardise(standardised.asinh()) if self._compress else standardised

    def denoise(self, target: Tensor, condition: Tensor, draws: Draws) -> tuple[Tensor, Tensor | None]:
        """The denoised target (B, C, Z, X) float32 and, if drawn, Ldiff.

        Gradients of the denoised target flow through the last step alone: earlier steps would
        multiply memory and time, and their part of the gradient is small.
        """
        times = ddim_times(self._start, self._train_steps if self.training else self.steps)
        t = self._full(times[0], target)
        x = self.process.add_noise(target, t, draws.start)
        for earlier in times[1:]:
            with torch.no_grad():
                estimate = self._estimate(x, self.unet(x, condition, t), t)
                earlier_t = self._full(earlier, target)
                x, t = self.process.ddim_step(x, estimate, t, earlier_t), earlier_t
        if draws.times is None or draws.noise is None:
            return self._estimate(x, self.unet(x, condition, t), t), None
        # One pass for both: the task's last step and the noise of Ldiff.
        noised = self.process.add_noise(target, draws.times, draws.noise)
        both = self.unet(
            torch.cat([x, noised]), torch.cat([condition, condition]), torch.cat([t, draws.times])
        )
        output, output_ldiff = both.chunk(2)
        _, predicted = self.process.split(noised, output_ldiff, draws.times)
        return self._estimate(x, output, t), (predicted - draws.noise).square().mean()

    def training_draws(self, batch: int, generator: torch.Generator) -> Draws:
        """See :func:`draws.training_draws`."""
        return training_draws(self.shape, self.process.timesteps, batch, generator)

    def evaluation_draws(self, tokens: Sequence[str], seed: int, device: torch.device) -> Draws:
        """See :func:`draws.evaluation_draws`."""
        return evaluation_draws(self.shape, tokens, seed, device)

    @property
    def draws_noise(self) -> bool:
        """Whether what it returns depends on its draws."""
        return not self._deterministic

    def _estimate(self, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
        return self.process.split(x, output, t)[0].clamp(-self._clamp, self._clamp)

    def _full(self, time: int, like: Tensor) -> Tensor:
        return torch.full(like.shape[:1], time, device=like.device)


def check_sizes(channels: int, settings: DiffusionSettings) -> None:
    """Check that groups and heads divide the channels.

    Raises:
        UsageError: they do not.
    """
    if channels % settings.groups and "S" in settings.condition:
        raise UsageError(
            f"model.diffusion.groups={settings.groups} does not divide model.lift.channels={channels}."
        )
    heads = settings.fusion.heads
    if settings.fusion.type == "cross_attn" and channels % (4 * heads):
        raise UsageError(
            f"model.lift.channels={channels} is not a multiple of 4 * model.diffusion.fusion.heads={heads}."
        )
