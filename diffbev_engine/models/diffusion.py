"""Gaussian diffusion math (no network): noise schedules, forward process, parameterizations, DDIM.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps with abar_t the product of (1 - beta_s) for s = 1 … t
(Ho et al., NeurIPS 2020, equation 4).

Everything is computed in float32.  Time t runs from 1 (almost clean) to T (almost noise); t = 0 is
the clean signal.  Dimension letters: B batch; the other dimensions are free and written "…".
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Prediction = Literal["epsilon", "v"]
_LINEAR = (1e-4, 2e-2)  # beta_1 and beta_T of DDPM, for 1000 steps
_LINEAR_STEPS = 1000
_COSINE_OFFSET = 0.008  # keeps beta_1 from vanishing
_MAX_BETA = 0.999


def alpha_bars(schedule: Literal["linear", "cosine"], timesteps: int) -> Tensor:
    """Share of signal variance abar_t for t = 0 … T, (T + 1,) float64; abar_0 is 1, all are above 0.

    ``linear``: beta from 1e-4 to 2e-2 over 1000 steps (Ho et al. 2020), scaled by 1000 / T for
    other lengths so that x_T holds equally little signal.
    ``cosine``: Nichol and Dhariwal, ICML 2021, equation 17.
    """
    t = torch.arange(timesteps + 1, dtype=torch.float64)
    if schedule == "linear":
        low, high = (beta * _LINEAR_STEPS / timesteps for beta in _LINEAR)
        betas = torch.linspace(low, high, timesteps, dtype=torch.float64)
    else:
        angle = (t / timesteps + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi / 2
        signal = angle.cos().square()
        betas = 1 - signal[1:] / signal[:-1]
    kept = (1 - betas.clamp(max=_MAX_BETA)).cumprod(0)
    return torch.cat([torch.ones(1, dtype=torch.float64), kept])


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
        signal, noise = self.at(t, x0)
        return signal * x0 + noise * epsilon

    def split(self, x_t: Tensor, output: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The (x0, epsilon) that the network's ``output`` for x_t implies, both (B, …) float32.

        ``epsilon``: x0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar).
        ``v``: v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans and Ho, ICLR 2022, appendix D).
        """
        signal, noise = self.at(t, x_t)
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
        signal, noise = self.at(t, x_t)
        signal_next, noise_next = self.at(earlier, x_t)
        epsilon = (x_t - signal * x0) / noise  # consistent with a clamped x0
        return signal_next * x0 + noise_next * epsilon

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes of signal and noise at t (B,), in a shape that multiplies ``like`` (B, …)."""
        shape = (-1,) + (1,) * (like.dim() - 1)
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
