"""Noise schedules (alpha-bar) of DDPM and improved DDPM.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps with abar_t the product of (1 - beta_s) for s = 1 … t
(Ho et al., NeurIPS 2020, equation 4).
"""

import math
from typing import Literal

import torch
from torch import Tensor

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
