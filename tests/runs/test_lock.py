"""One writer a run directory, whatever became of the one before."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.runs.actions import wait_until_it_lets_go
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.lock import RunHeldError, read_owner, sole_writer, take_lock
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import read_status
from diffbev_engine.runs.verdict import RunCondition
from diffbev_engine.train import train
from tests.processes import PATIENCE_S, engine, wait_until
from tests.runs.children import contents, pretend_training, python

HOLD = """
import sys, os, time
from pathlib import Path
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import take_lock
lock = take_lock(RunFolder(Path(sys.argv[1])), ["train", "held.py"])
"""


def _leave_lock(folder, **change):
    """A lock file as a writer leaves it that had no time to clean up."""
    owner = asdict(replace(identify(), **change)) | {"since": 0.0, "command": ["train"], "launch": None}
    folder.lock.write_text(json.dumps(owner))


def test_a_second_writer_is_told_who_the_first_is(folder):
    holder = python(HOLD + "print('held', flush=True); time.sleep(60)", folder.path)
    assert holder.stdout.readline() == "held\n"
    before = contents(folder.path)
    with pytest.raises(RunHeldError, match=f"process {holder.pid} of .* since .*train held.py") as refusal:
        take_lock(folder, ["train"])
    assert "runs stop" in str(refusal.value)
    assert contents(folder.path) == before

    holder.kill()
    holder.wait()
    with sole_writer(folder):  # a killed owner leaves its file, but not the lock
        assert read_owner(folder).process == identify()
        with pytest.raises(RunHeldError), sole_writer(folder):
            pass
    assert not folder.lock.exists()


def test_a_training_waits_for_one_that_has_told_its_end(folder, tiny_settings, monkeypatch):
    leave = folder.path.parent / "leave"
    first = subprocess.Popen(pretend_training(folder, leave=leave))
    wait_until(lambda: (status := read_status(folder.status)) and status.step > 2)
    first.send_signal(signal.SIGINT)
    wait_until(lambda: inspect_run(folder.path).resumable)

    def wait(held):
        leave.touch()
        wait_until_it_lets_go(held)

    monkeypatch.setattr(train, "wait_until_it_lets_go", wait)
    train.train(train.TrainingJob(tiny_settings, "tiny.py", folder.path), evaluation_in_training)
    assert first.wait(PATIENCE_S) == 5
    assert inspect_run(folder.path).state is RunCondition.FINISHED


@pytest.mark.slow
def test_a_training_touches_nothing_of_a_running_one(folder, tiny_config):
    first = subprocess.Popen(pretend_training(folder), stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "training\n"
    os.kill(first.pid, signal.SIGSTOP)
    before = contents(folder.path)
    second = engine("train", tiny_config, "--work-dir", folder.path)
    output = second.communicate(timeout=PATIENCE_S)[0]
    assert second.returncode == 1, output
    assert f"process {first.pid} of" in output
    assert "Traceback" not in output
    assert contents(folder.path) == before
    first.kill()


@pytest.mark.parametrize("change", [{"start": 1.0}, {"boot_id": "an earlier boot"}, {"pid": 2**22 + 1}])
def test_a_stale_lock_is_taken_over(folder, change):
    _leave_lock(folder, **change)  # the pid lives: it is this very process
    with sole_writer(folder):
        assert read_owner(folder).process == identify()


def test_a_lock_from_another_machine_holds_until_someone_deletes_it(folder):
    _leave_lock(folder, host="gpu7", boot_id="its boot")
    with pytest.raises(RunHeldError, match=r"on gpu7.*delete .*run\.lock"), sole_writer(folder):
        pass
    folder.lock.unlink()
    with sole_writer(folder):
        pass


def test_a_dead_container_of_this_machine_does_not_hold(folder):
    _leave_lock(folder, namespace="pid:[1]")  # the kernel is the same: its lock would show
    with sole_writer(folder):
        pass


def test_a_named_living_owner_holds_without_the_lock_of_the_kernel(folder):
    _leave_lock(folder)
    with pytest.raises(RunHeldError, match=f"process {os.getpid()}"), sole_writer(folder):
        pass


def test_file_systems_without_locks_rely_on_the_name(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    _leave_lock(folder, start=1.0)
    with sole_writer(folder), pytest.raises(RunHeldError), sole_writer(folder):
        pass


def test_a_damaged_lock_file_is_no_obstacle(folder):
    folder.lock.write_text("{")
    with sole_writer(folder):
        pass


def test_a_lock_that_cannot_be_opened_is_one_message(folder):
    folder.lock.mkdir()
    with pytest.raises(DiffBEVError, match=r"cannot lock .*run\.lock"), sole_writer(folder):
        pass


def test_workers_that_outlive_a_killed_training_do_not_keep_its_lock(folder):
    fork = "print(os.getpid() if os.fork() else '', end='', flush=True); time.sleep(20)"
    holder = python(HOLD + fork, folder.path)
    wait_until(lambda: read_owner(folder))
    assert holder.stdout.read(len(str(holder.pid))) == str(holder.pid)
    holder.kill()
    holder.wait()
    with sole_writer(folder):
        pass


def test_of_many_that_start_at_once_over_a_stale_lock_one_wins(folder):
    _leave_lock(folder, start=1.0)
    code = "import sys; sys.stdin.readline()\ntry:\n"
    code += "".join(f"    {line}\n" for line in HOLD.strip().splitlines())
    code += "    print('won', flush=True)\n"
    code += "except Exception as error:\n    print(type(error).__name__, flush=True)\n"
    code += "sys.stdin.readline()"
    starters = [python(code, folder.path, stdin=subprocess.PIPE) for _ in range(6)]
    for starter in starters:
        starter.stdin.write("\n")
        starter.stdin.flush()
    answers = sorted(starter.stdout.readline().strip() for starter in starters)
    assert answers == ["RunHeldError"] * 5 + ["won"]
    for starter in starters:
        starter.communicate("\n", timeout=30)


def test_light_modules_stay_light():
    code = (
        "import sys\n"
        "from diffbev_engine.runs import actions, supervisor, inspect\n"
        "print({'torch', 'numpy', 'pydantic', 'cv2', 'matplotlib', 'psutil'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
