"""Gaussian diffusion math (no network): forward process, parameterizations, DDIM.

Everything is computed in float32.  Time t runs from 1 (almost clean) to T (almost noise); t = 0 is
the clean signal.  Dimension letters: B batch; the other dimensions are free and written "…".
"""

from typing import Literal

import torch
from torch import Tensor, nn

from diffbev_engine.models.noise_schedule import alpha_bars

Prediction = Literal["epsilon", "v"]


class GaussianDiffusion(nn.Module):
    """Noising and its inversion for one schedule.

    Args:
        schedule: ``linear`` or ``cosine``.
        timesteps: Length T.
        prediction: What the network's output means.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, schedule: Literal["linear", "cosine"], timesteps: int, prediction: Prediction) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.prediction = prediction
        kept = alpha_bars(schedule, timesteps)
        self.register_buffer("signal", kept.sqrt().float(), persistent=False)  # T+1
        self.register_buffer("noise", (1 - kept).sqrt().float(), persistent=False)  # T+1

    def add_noise(self, x0: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
        """x_t for x0 (B, …), t (B,) int64 and standard normal ``epsilon`` (B, …)."""
        signal, noise = self._at(t, x0)
        return signal * x0 + noise * epsilon

    def split(self, x_t: Tensor, output: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The (x0, epsilon) that the network's ``output`` for x_t implies, both (B, …) float32.

        ``epsilon``: x0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar).
        ``v``: v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans and Ho, ICLR 2022, appendix D).
        """
        signal, noise = self._at(t, x_t)
        output = output.float()
        if self.prediction == "epsilon":
            return (x_t - noise * output) / signal, output
        return signal * x_t - noise * output, noise * x_t + signal * output

    def ddim_step(self, x_t: Tensor, x0: Tensor, t: Tensor, earlier: Tensor) -> Tensor:
        """Deterministic DDIM (Song et al., ICLR 2021, equation 12 with sigma = 0).

        Args:
            x_t: (B, …) at time t.
            x0: (B, …) the estimate of the clean signal at time t, possibly clamped.
            t: (B,) int64.
            earlier: (B,) int64, below t; 0 returns ``x0``.
        """
        signal, noise = self._at(t, x_t)
        signal_next, noise_next = self._at(earlier, x_t)
        epsilon = (x_t - signal * x0) / noise  # consistent with a clamped x0
        return signal_next * x0 + noise_next * epsilon

    def _at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (len(t),) + (1,) * (like.dim() - 1)
        return self.signal[t].view(shape), self.noise[t].view(shape)


def ddim_times(start: int, steps: int) -> list[int]:
    """``steps`` times from ``start`` down, evenly spaced above 0: 300 in 3 steps is 300, 200, 100.

    More steps than there are times are cut to one a time.
    """
    steps = min(steps, start)
    return [round(start * (steps - i) / steps) for i in range(steps)]


def standardise(feature: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Zero mean and unit variance over each sample's channel; (B, C, Z, X) to the same in float32."""
    feature = feature.float()
    variance, mean = torch.var_mean(feature, dim=(2, 3), correction=0, keepdim=True)
    return (feature - mean) * (variance + epsilon).rsqrt()
