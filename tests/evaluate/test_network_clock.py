"""The clock of the network: what it counts and what it leaves out."""

import itertools

import pytest
import torch

from diffbev_engine.evaluate import network_clock
from diffbev_engine.evaluate.network_clock import NetworkClock


@pytest.fixture
def passes(monkeypatch):
    """Time passes of (seconds, images) with a clock that shows what they say."""

    def run(*durations):
        ticks = itertools.accumulate(tick for seconds, _ in durations for tick in (100.0, seconds))
        monkeypatch.setattr(network_clock.time, "perf_counter", lambda: next(ticks))
        clock = NetworkClock(torch.device("cpu"))
        for _, images in durations:
            with clock.timing(images):
                pass
        return clock.ms_per_image()

    return run


def test_the_first_batch_warms_up_and_is_left_out(passes):
    assert passes((30.0, 2), (0.4, 2), (0.4, 2)) == pytest.approx(200)


def test_a_single_batch_counts(passes):
    assert passes((0.5, 5)) == pytest.approx(100)


def test_a_hiccup_does_not_count(passes):
    assert passes((30.0, 2), (0.4, 2), (9.0, 2), (0.2, 1)) == pytest.approx(200)
