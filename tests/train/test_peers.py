"""A process that is lost is told from one that is slow."""

import os
import time

import pytest

from diffbev_engine.core.errors import ExitCode
from diffbev_engine.runs.process import ProcessIdentity, identify
from diffbev_engine.train.peers import Activity, Beat, LostProcessError, Peers

LIMIT_S = 60.0


@pytest.fixture
def peers() -> Peers:
    """The process of the test and another one, both within their limits."""
    found = Peers(2)
    tell(found, 0, Activity.WAITING, for_s=1.0)
    tell(found, 1, Activity.STEPPING, for_s=1.0, limit_s=40.0)
    return found


def tell(peers: Peers, rank: int, activity: Activity, for_s: float, *, process=None, **more) -> None:
    fields = {"limit_s": None, "computed": None, "left": False} | more
    number = (peers[rank].beat.number if peers[rank].beat else 0) + 1
    words = activity.value.format(12)
    beat = Beat(number, process or identify(), activity, words, for_s, **fields)
    peers.update({rank: beat}, interval_s=1.0)


def silent(peers: Peers, rank: int, seconds: float) -> None:
    peers[rank].changed = time.monotonic() - seconds


def of_the_past() -> ProcessIdentity:
    """A process that has ended: this pid was given again since."""
    own = identify()
    return ProcessIdentity(own.pid, own.start - 1, own.boot_id, own.namespace, own.host, own.user)


def test_slow_processes_are_not_lost(peers):
    assert peers.judge(LIMIT_S) is None
    tell(peers, 1, Activity.STEPPING, for_s=39.0, limit_s=40.0)
    assert peers.judge(LIMIT_S) is None
    tell(peers, 1, Activity.SAVING, for_s=3000.0)
    assert peers.judge(LIMIT_S) is None
    silent(peers, 1, 29.0)
    assert peers.judge(LIMIT_S) is None


def test_one_that_ended_is_lost_at_once_unless_it_had_left(peers):
    tell(peers, 1, Activity.STEPPING, for_s=0.1, process=of_the_past())
    loss = peers.judge(LIMIT_S)
    assert (loss.rank, loss.responds) == (1, False)
    assert loss.message.startswith(f"rank 1 of 2 (pid {os.getpid()} on ")
    assert loss.message.endswith("was killed or crashed, computing iteration 12.")
    assert LostProcessError(loss).exit_code is ExitCode.FAILED
    tell(peers, 1, Activity.STEPPING, for_s=0.1, process=of_the_past(), left=True)
    assert peers.judge(LIMIT_S) is None


def test_silence_is_a_loss_after_half_the_limit(peers):
    silent(peers, 1, 31.0)
    loss = peers.judge(LIMIT_S)
    assert (loss.rank, loss.responds) == (1, False)
    assert "has not responded for 31 s, computing iteration 12" in loss.message


def test_whoever_was_suspended_itself_judges_nobody_by_the_time_since(peers):
    silent(peers, 1, 500.0)
    peers._looked -= 500.0
    peers.update({}, interval_s=1.0)
    assert peers.judge(LIMIT_S) is None


def test_one_that_responds_is_lost_beyond_the_limit_of_what_it_does(peers):
    tell(peers, 1, Activity.STEPPING, for_s=41.0, limit_s=40.0)
    loss = peers.judge(LIMIT_S)
    assert (loss.rank, loss.responds) == (1, True)
    assert loss.message.endswith("hangs: computing iteration 12 for 41 s.")


def test_one_that_waits_for_the_gradients_of_another_is_never_the_one_that_hangs(peers):
    """Both began at about the same time, and the time of the one that waits is up first."""
    tell(peers, 0, Activity.STEPPING, for_s=40.1, limit_s=40.0, computed=True)
    tell(peers, 1, Activity.STEPPING, for_s=39.9, limit_s=40.0, computed=False)
    assert "rank 1 of 2" in peers.judge(LIMIT_S).message
    tell(peers, 1, Activity.STEPPING, for_s=40.1, limit_s=40.0, computed=False)
    assert "rank 1 of 2" in peers.judge(LIMIT_S).message
    tell(peers, 0, Activity.STEPPING, for_s=40.1, limit_s=40.0, computed=False)
    tell(peers, 1, Activity.STEPPING, for_s=39.9, limit_s=40.0, computed=False)
    assert "as rank 1 does; one waits for the other" in peers.judge(LIMIT_S).message


def test_data_that_comes_for_nobody_is_no_loss(peers):
    for rank in (0, 1):
        tell(peers, rank, Activity.LOADING, for_s=500.0, limit_s=40.0)
    assert peers.judge(LIMIT_S) is None
    tell(peers, 0, Activity.WAITING, for_s=500.0)
    assert "rank 1 of 2" in peers.judge(LIMIT_S).message
