"""The algebra against closed forms, in which no network hides a mistake."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.models.diffusion import GaussianDiffusion, alpha_bars, ddim_times, standardise

SCHEDULES = ["linear", "cosine"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("timesteps", [10, 200, 1000])
def test_signal_decays_from_one_to_almost_nothing(schedule, timesteps):
    kept = alpha_bars(schedule, timesteps)
    assert kept.shape == (timesteps + 1,)
    assert kept[0] == 1
    assert (kept.diff() < 0).all()
    assert 0 < kept[-1] < 1e-3


def test_linear_schedule_is_that_of_ddpm():
    kept = alpha_bars("linear", 1000)
    assert 1 - kept[1] == pytest.approx(1e-4)
    assert 1 - kept[1000] / kept[999] == pytest.approx(2e-2)
    assert kept[300] == pytest.approx(0.39, abs=0.01)  # where the task's denoising starts


def test_cosine_schedule_follows_its_formula():
    def signal(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    kept = alpha_bars("cosine", 1000)
    for t in (1, 250, 500, 900):
        assert kept[t] == pytest.approx(signal(t) / signal(0), rel=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noised_unit_variance_signal_keeps_unit_variance(schedule):
    process = GaussianDiffusion(schedule, 1000, "epsilon")
    torch.testing.assert_close(process.signal**2 + process.noise**2, torch.ones(1001))


@given(st.sampled_from(SCHEDULES), st.integers(1, 990), st.integers(0, 2**31))
def test_both_parameterisations_recover_signal_and_noise(schedule, time, seed):
    generator = torch.Generator().manual_seed(seed)
    x0, epsilon = torch.randn(2, 3, 4, 5, generator=generator).unsqueeze(1)
    t = torch.tensor([time])
    for prediction in ("epsilon", "v"):
        process = GaussianDiffusion(schedule, 1000, prediction)
        x_t = process.add_noise(x0, t, epsilon)
        velocity = process.signal[t] * epsilon - process.noise[t] * x0
        found_x0, found_epsilon = process.split(x_t, epsilon if prediction == "epsilon" else velocity, t)
        # Dividing by the remaining signal magnifies rounding.
        tolerance = 1e-5 / process.signal[time].item()
        torch.testing.assert_close(found_x0, x0, atol=tolerance, rtol=1e-4)
        torch.testing.assert_close(found_epsilon, epsilon, atol=1e-4, rtol=1e-4)


def test_times_descend_evenly_and_stay_above_zero():
    assert ddim_times(300, 1) == [300]
    assert ddim_times(300, 3) == [300, 200, 100]
    assert ddim_times(3, 10) == [3, 2, 1]


@given(st.integers(1, 1000), st.integers(1, 50))
def test_times_start_at_the_start_and_strictly_descend(start, steps):
    times = ddim_times(start, steps)
    assert times[0] == start
    assert all(a > b for a, b in zip(times, [*times[1:], 0], strict=True))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_ddim_with_the_ideal_predictor_of_gaussian_data_follows_the_closed_form(schedule, prediction):
    """For x0 ~ N(m, s²) the flow from t to 0 is affine: x0 = m + s (x_t - a m) / sqrt(a² s² + b²).

    The probability flow keeps quantiles, so x_t of marginal N(a m, a² s² + b²) goes to the same
    quantile of N(m, s²); DDIM approaches it with the number of steps.
    """
    mean, deviation, start = 0.7, 0.5, 600
    process = GaussianDiffusion(schedule, 1000, prediction)
    x_t = torch.linspace(-2, 2, 9).view(1, 9)
    a, b = process.signal[start], process.noise[start]
    exact = mean + deviation * (x_t - a * mean) / (a**2 * deviation**2 + b**2).sqrt()
    errors = []
    for steps in (3, 30, 600):
        x = x_t
        times = ddim_times(start, steps)
        for now, then in zip(times, [*times[1:], 0], strict=True):
            t, earlier = torch.tensor([now]), torch.tensor([then])
            x0, _ = process.split(x, _ideal(process, x, t, mean, deviation), t)
            x = process.ddim_step(x, x0, t, earlier)
        errors.append((x - exact).abs().max().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 5e-3


def _ideal(process, x, t, mean, deviation):
    """What a perfect network outputs: the posterior mean of the noise, or of the velocity."""
    a, b = process.signal[t], process.noise[t]
    x0 = mean + a * deviation**2 / (a**2 * deviation**2 + b**2) * (x - a * mean)
    epsilon = (x - a * x0) / b
    return epsilon if process.prediction == "epsilon" else a * epsilon - b * x0


def test_one_exact_step_returns_the_signal():
    process = GaussianDiffusion("linear", 1000, "epsilon")
    x0, epsilon = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([300, 700])
    x_t = process.add_noise(x0, t, epsilon)
    torch.testing.assert_close(process.ddim_step(x_t, x0, t, torch.tensor([0, 0])), x0)


def test_standardised_channels_have_zero_mean_and_unit_variance():
    feature = torch.randn(2, 5, 9, 8) * torch.arange(1, 6).view(1, 5, 1, 1) + 3
    result = standardise(feature.bfloat16())
    assert result.dtype == torch.float32
    assert result.mean(dim=(2, 3)).abs().max() < 1e-4
    assert (result.var(dim=(2, 3), correction=0) - 1).abs().max() < 1e-3


def test_a_constant_channel_becomes_zero_not_nan():
    assert (standardise(torch.full((1, 2, 4, 4), 7.0)) == 0).all()
