"""A pid is believed only together with its start, its boot and its machine."""

import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from diffbev_engine.runs.process import Liveness, identify, identity_from


def test_this_process_is_alive_and_knows_itself_again():
    me = identify()
    assert me.pid == os.getpid()
    assert me.alive
    assert identity_from(asdict(me)) == me == identify(os.getpid())
    assert f"process {os.getpid()} of " in str(me)


def test_another_process_with_the_same_pid_is_not_it():
    assert replace(identify(), start=identify().start - 1).liveness() is Liveness.DEAD


def test_a_reboot_ends_every_process():
    assert replace(identify(), boot_id="an earlier boot").liveness() is Liveness.REBOOTED


@pytest.mark.parametrize("change", [{"host": "gpu7", "boot_id": "its boot"}, {"namespace": "pid:[1]"}])
def test_other_machines_and_containers_cannot_be_judged(change):
    assert replace(identify(), **change).liveness() is Liveness.ELSEWHERE


def test_a_process_that_has_ended_is_dead_also_unreaped():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(child.pid)
    assert identity.alive
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity.liveness() is Liveness.DEAD
    assert identify(child.pid) == identity
    child.wait()
    assert identity.liveness() is Liveness.DEAD
    with pytest.raises(ProcessLookupError):
        identify(child.pid)


def test_what_is_no_identity_is_none():
    assert identity_from(None) is identity_from({"pid": 3}) is identity_from([1]) is None
