"""Speeds that a training reports of itself."""

import pytest

from diffbev_engine.train import clock as module
from diffbev_engine.train.clock import StepClock


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is moved on."""
    at = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: at[0])
    return at


def _iterate(clock, now, seconds, times=1, waiting=0.0):
    for _ in range(times):
        with clock.waiting():
            now[0] += waiting
        now[0] += seconds - waiting
        clock.count(images=4)


def test_speed_and_the_share_of_waiting(now):
    clock = StepClock()
    _iterate(clock, now, 0.5, times=10, waiting=0.1)
    assert clock.read() == pytest.approx({"it_per_s": 2.0, "images_per_s": 8.0, "data_wait": 0.2})


@pytest.mark.parametrize("waiting", [0.0, 3599.0], ids=["suspended", "a disk that hung"])
def test_a_stall_is_no_speed(now, waiting):
    clock = StepClock()
    _iterate(clock, now, 0.5, times=9, waiting=0.1)
    _iterate(clock, now, 3600.0, waiting=waiting)
    speeds = clock.read()
    assert speeds["it_per_s"] == pytest.approx(2.0)
    assert speeds["data_wait"] <= 0.3


def test_slow_iterations_are_measured_as_they_are(now):
    clock = StepClock()
    _iterate(clock, now, 20.0, times=2)
    _iterate(clock, now, 150.0)
    assert clock.read()["it_per_s"] == pytest.approx(3 / 190)
