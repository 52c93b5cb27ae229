"""Garbage is collected again after the block, unless it was not before."""

import gc

import pytest

from diffbev_engine.core.garbage import collector_paused


@pytest.fixture(autouse=True)
def collector_as_before():
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


def fails_within():
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError("within")


def test_nothing_is_collected_within_the_block():
    gc.enable()
    with pytest.raises(ValueError, match="within"):
        fails_within()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()
