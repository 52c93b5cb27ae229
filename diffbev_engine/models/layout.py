"""Diffusion of the BEV map: ground truth as analog bits, noised, recovered under the BEV feature.

DiffBEV's module with another clean side.  The published one noises the network's own feature, so that a
perfect denoiser returns what the head has already; the map is information that the encoder lacks.  Noise
to map as in DDP (Ji et al., ICCV 2023), analog bits as in Chen et al. (ICLR 2023).  U-Net, condition and
fusion are those of ``diffbev``; what joins the BEV feature is the U-Net's last feature, from which its
map is read.

In evaluation the map is sampled from pure noise.  In training Ldiff is the balanced cross entropy of
maps recovered from the noised ground truth at a random time, and of those that the task uses: recovered
from pure noise or, where ``aligned``, also from the network's own noised estimate, which is what later
steps of the sampler start from.  Otherwise every further step would show head and U-Net what they never
saw, and lower the score.

The class weights of that loss make the network overrate rare classes: of a class with prior p, the odds by
p^-1/2.  ``calibrated`` takes this out of the estimates, else each step of the sampler adds to it.

Dimension letters: B batch, C channels, K classes, Z X rows and columns of the BEV feature.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.models.condition import Condition
from diffbev_engine.models.diffbev import Refined, check_sizes
from diffbev_engine.models.diffusion import GaussianDiffusion, ddim_times, standardise
from diffbev_engine.models.draws import Draws, evaluation_draws, training_draws
from diffbev_engine.models.fusion import Fusion
from diffbev_engine.models.settings import DiffusionSettings
from diffbev_engine.models.unet import ConditionalUNet


class LayoutDiffusion(nn.Module):
    """Conditional diffusion of the BEV map, in the place of ``DiffBEV``.

    Args:
        channels: Channels of the BEV feature.
        size: (Z, X) of the BEV feature.
        settings: Every axis of the method.
        priors: Share of visible cells of each class; the map of an untrained network.

    Attributes:
        steps: DDIM steps in evaluation; may be changed between evaluations.

    Raises:
        UsageError: settings that do not fit together.
    """

    priors: Tensor
    _log_weights: Tensor

    def __init__(
        self, channels: int, size: tuple[int, int], settings: DiffusionSettings, priors: Sequence[float]
    ) -> None:
        super().__init__()
        check_sizes(channels, settings)
        self.shape = (NUM_CLASSES, *size)
        self.steps = settings.steps
        self._amplitude = settings.amplitude
        self._aligned = settings.aligned
        self._self_condition = settings.self_condition
        self._deterministic = settings.process == "none"
        self.process = GaussianDiffusion(settings.schedule, settings.timesteps, settings.prediction)
        self.condition = Condition(settings.condition, channels, settings.groups)
        self.unet = ConditionalUNet(
            channels + NUM_CLASSES * (2 if self._self_condition else 1),
            settings,
            condition_channels=channels,
            out_channels=NUM_CLASSES,
        )
        assert self.unet.leave.bias is not None
        with torch.no_grad():
            self.unet.leave.bias.copy_(torch.tensor([math.log(p / (1 - p)) for p in priors]))
        self.fusion = Fusion(settings.fusion, channels, size, denoised_channels=settings.widths[0])
        self.register_buffer("priors", torch.tensor(priors), persistent=False)
        log_weights = -self.priors.log() / 2 if settings.calibrated else torch.zeros_like(self.priors)
        self.register_buffer("_log_weights", log_weights, persistent=False)  # K

    def forward(self, feature: Tensor, depth_mass: Tensor, draws: Draws) -> Refined:
        """Refine ``feature``.

        Args:
            feature: (B, C, Z, X) BEV feature.
            depth_mass: (B, 1, Z, X) splatted depth distribution.
            draws: The random numbers; with ``layout`` Ldiff is computed too.
        """
        conditioning = self.conditioning(feature, depth_mass)
        if draws.layout is None:
            return Refined(self.fusion(feature, self.sample(conditioning, draws.start)), None)
        if self._deterministic:
            x = torch.zeros_like(draws.start)
            hidden = self._hidden(x, x, conditioning, self._full(self.process.timesteps, x))
            return Refined(self.fusion(feature, hidden), self._error(self.unet.leave(hidden), draws))
        assert draws.times is not None
        assert draws.noise is not None
        x, before, t = self._task_input(conditioning, draws)
        noised = self.process.add_noise(self._amplitude * (2 * draws.layout - 1), draws.times, draws.noise)
        both = self._hidden(
            torch.cat([x, noised]),
            torch.cat([before, before]),
            conditioning.twice(),
            torch.cat([t, draws.times]),
        )  # 2B x C x Z x X
        task, other = self.unet.leave(both).chunk(2)
        error = (self._error(task, draws) + self._error(other, draws)) / 2
        return Refined(self.fusion(feature, both.chunk(2)[0]), error)

    def conditioning(self, feature: Tensor, depth_mass: Tensor) -> "Conditioning":
        """What the U-Net is conditioned on, from the arguments of ``forward``."""
        return Conditioning(standardise(feature), self.condition(feature, depth_mass))

    def recover(self, layout: Tensor, conditioning: "Conditioning", t: Tensor, noise: Tensor) -> Tensor:
        """The U-Net's feature (B, C, Z, X) for a given map (B, K, Z, X), 0 to 1, noised to ``t`` (B,)."""
        x = self.process.add_noise(self._amplitude * (2 * layout - 1), t, noise)
        return self._hidden(x, torch.zeros_like(x), conditioning, t)

    def sample(self, conditioning: "Conditioning", start: Tensor) -> Tensor:
        """The U-Net's feature (B, C, Z, X) at the last step of the sampler, from pure noise."""
        times = ddim_times(self.process.timesteps, 1 if self._deterministic else self.steps)
        before = torch.zeros_like(start)
        x, t = before if self._deterministic else start, self._full(times[0], start)
        for earlier in times[1:]:
            with torch.no_grad():
                before = self._estimate(x, before, conditioning, t)
                earlier_t = self._full(earlier, start)
                x, t = self.process.ddim_step(x, before, t, earlier_t), earlier_t
        return self._hidden(x, before, conditioning, t)

    def _task_input(self, conditioning: "Conditioning", draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """What the task's map is recovered from in training, the estimate before it, and at which times."""
        x, nothing = draws.start, torch.zeros_like(draws.start)
        last = self._full(self.process.timesteps, x)
        if not self._aligned or draws.task_times is None:
            return x, nothing, last
        with torch.no_grad():
            estimate = self._estimate(x, nothing, conditioning, last)
        later = self.process.add_noise(estimate, draws.task_times, x)
        begins = (draws.task_times == self.process.timesteps)[:, None, None, None]
        return torch.where(begins, x, later), torch.where(begins, nothing, estimate), draws.task_times

    def _estimate(self, x_t: Tensor, before: Tensor, conditioning: "Conditioning", t: Tensor) -> Tensor:
        """The expected analog bits, ``amplitude * (2 p - 1)``."""
        logits = self.unet.leave(self._hidden(x_t, before, conditioning, t)).float()
        return self._amplitude * ((logits - self._log_weights[:, None, None]) / 2).tanh()

    def _hidden(self, x_t: Tensor, before: Tensor, conditioning: "Conditioning", t: Tensor) -> Tensor:
        """The U-Net's feature for x_t, which is brought to unit variance (as if bits were independent)."""
        signal, noise = self.process.at(t, x_t)
        scaled = x_t * (self._amplitude**2 * signal.square() + noise.square()).rsqrt()
        known = [before / self._amplitude] if self._self_condition else []
        x = torch.cat([scaled, *known, conditioning.feature], dim=1)
        hidden: Tensor = self.unet(x, conditioning.condition, t, features=True)
        return hidden

    def _error(self, logits: Tensor, draws: Draws) -> Tensor:
        """Balanced cross entropy against the share of each cell, weighted as in the segmentation loss."""
        assert draws.layout is not None
        assert draws.weight is not None
        with torch.autocast(logits.device.type, enabled=False):
            balance = (self.priors[:, None, None].rsqrt() - 1) * draws.layout + 1  # B x K x Z x X
            errors = F.binary_cross_entropy_with_logits(logits.float(), draws.layout, reduction="none")
            return (balance * draws.weight * errors).mean()

    def training_draws(self, batch: int, generator: torch.Generator) -> Draws:
        """Random numbers of one training pass: half of the samples begin the task with pure noise."""
        draws = training_draws(self.shape, self.process.timesteps, batch, generator)
        last, device = self.process.timesteps, generator.device
        times = torch.randint(1, last + 1, (batch,), generator=generator, device=device)
        begins = torch.rand(batch, generator=generator, device=device) < 0.5
        return draws._replace(task_times=times.masked_fill(begins, last))

    def evaluation_draws(self, tokens: Sequence[str], seed: int, device: torch.device) -> Draws:
        """See :func:`draws.evaluation_draws`."""
        return evaluation_draws(self.shape, tokens, seed, device)

    @property
    def draws_noise(self) -> bool:
        """Whether what it returns depends on its draws."""
        return not self._deterministic

    def _full(self, time: int, like: Tensor) -> Tensor:
        return torch.full(like.shape[:1], time, device=like.device)


class Conditioning(NamedTuple):
    """What the U-Net is conditioned on, next to the noised map."""

    feature: Tensor
    """(B, C, Z, X), standardised."""
    condition: Tensor
    """(B, C, Z, X)."""

    def twice(self) -> "Conditioning":
        """For a batch that holds each image twice."""
        return Conditioning(*(torch.cat([part, part]) for part in self))


def with_layout(draws: Draws, classes: Tensor, valid: Tensor, known: Tensor) -> Draws:
    """``draws`` with the ground truth at the size of the BEV feature.

    Args:
        draws: From ``training_draws``.
        classes: (B, K, 2Z, 2X) bool.
        valid: (B, 2Z, 2X) bool, False where the label must be ignored.
        known: (B, K) bool, False where the class is not annotated on that image's map.
    """
    annotated = known[:, :, None, None]
    scored = (valid[:, None] & annotated).float()
    return draws._replace(
        layout=F.avg_pool2d((classes.bool() & annotated).float(), 2), weight=F.avg_pool2d(scored, 2)
    )
