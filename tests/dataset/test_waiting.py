"""Waiting for a batch does not make deaf."""

import threading

import pytest

from diffbev_engine.dataset import waiting
from diffbev_engine.dataset.waiting import drawn_in_a_thread


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_S", 0.005)


def never(_seconds):
    raise AssertionError("asked to look around although nothing is waited for")


def test_batches_are_the_same_and_none_is_drawn_ahead():
    drawn = []

    def numbers():
        for number in range(5):
            drawn.append(number)
            yield number

    batches = drawn_in_a_thread(numbers(), lambda _seconds: None, never)
    for number in range(5):
        assert next(batches) == number
        assert drawn == list(range(number + 1))
    assert list(batches) == []


def test_an_error_reaches_whoever_asked():
    def broken():
        yield 1
        raise OSError("gone")

    batches = drawn_in_a_thread(broken(), lambda _seconds: None, lambda: None)
    assert next(batches) == 1
    with pytest.raises(OSError, match="gone"):
        next(batches)


def test_a_read_that_hangs_can_be_left_and_its_processes_are_ended():
    hanging, looked, ended = threading.Event(), [], []

    def slow():
        yield 1
        hanging.wait(30)

    def look(seconds):
        looked.append(seconds)
        if len(looked) == 3:
            raise InterruptedError

    def end():
        ended.append(True)
        hanging.set()  # as killing the processes does

    batches = drawn_in_a_thread(slow(), look, end)
    assert next(batches) == 1
    with pytest.raises(InterruptedError):
        next(batches)
    assert looked == sorted(looked)
    assert ended == [True]
    assert all(thread.name != "batches" for thread in threading.enumerate())


def test_closing_closes_what_it_draws_from():
    closed = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    batches = drawn_in_a_thread(endless(), lambda _seconds: None, never)
    next(batches)
    batches.close()
    assert closed == [True]
