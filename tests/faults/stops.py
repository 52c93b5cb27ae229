"""What ends or hangs a process: kill -9, the signals that ask to stop, loader processes that die or hang."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial

from tests.faults.injections import suspended
from tests.faults.lab import SAVED_EVERY, Lab, NotHere, Result, Training, sets, wait_for
from tests.tiny import write_tiny_root

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
REACTION_S = 2.0
_CHAIN = 10


def kill_chain(lab: Lab, until: Callable[[Lab, Training], object] | None = None) -> Result:
    """Kill one training again and again, start-up included, at moments that ``until`` waits for."""
    kills, lost, done, training = 0, 0, 0, lab.train()
    while kills < min(lab.wanted, _CHAIN):
        (until or _some_time)(lab, training)
        if training.poll() is not None:
            break
        kills, lost, done, training = _killed(training, kills, lost, done)
    training.has_finished()
    left = [path.name for path in training.folder.path.glob(".*.tmp")]
    assert not left, f"remnants of killed writes: {left}"
    return Result("resumed; end bit-equal, no remnants", kills, lost=max(lost, _again(training, done)))


def _some_time(lab: Lab, training: Training) -> None:
    """One kill in four falls into the start-up, the others into the training."""
    if lab.random.random() < 0.25:
        time.sleep(lab.random.uniform(0, 1))
        return
    wait_for(lambda: training.done() or training.poll() is not None, "iteration", 60, training)
    time.sleep(lab.random.uniform(0, 1.5))


def _killed(training: Training, kills: int, lost: int, done: int) -> tuple[int, int, int, Training]:
    training.kill()
    assert training.ended() == -signal.SIGKILL
    lost, done = max(lost, _again(training, done)), max(done, training.done())
    assert lost <= SAVED_EVERY, f"{lost} iterations lost, a checkpoint is written every {SAVED_EVERY}"
    return kills + 1, lost, done, training.resumed()


def _again(training: Training, done: int) -> int:
    """Iterations that a start had to do again; 0 while it has not said where it continues."""
    at = training.resumed_at() or 0
    return max(0, done - at) if at or training.done() else 0


def _a_write(_lab: Lab, training: Training) -> None:
    goal = (training.done() or training.resumed_at() or 0) + 1
    deadline = time.monotonic() + 60
    while training.poll() is None and time.monotonic() < deadline:
        names = training.folder.path.glob(".*.pth.*.tmp") if training.folder.path.exists() else ()
        if any(names) and training.done() >= goal:
            return
        time.sleep(0.0005)


kill_while_saving = partial(kill_chain, until=_a_write)


def signal_in_training(lab: Lab, number: signal.Signals = signal.SIGTERM) -> Result:
    """A checkpoint of every iteration done is saved, exit code 5; one in three is continued to the end."""
    training = lab.train().reaches(1)
    time.sleep(lab.random.uniform(0, 1))
    took = training.stopped(number)
    training.has_saved()
    assert training.report()["state"] == "interrupted", training.report()
    if lab.random.random() < 0.34:
        training.ends_well()
    return _in_time("saved, exit code 5, bit-equal", took)


def signal_in_evaluation(lab: Lab, number: signal.Signals = signal.SIGTERM) -> Result:
    """The same while it evaluates, which takes several seconds."""
    root = lab.home / "large_val"
    if not root.exists():
        write_tiny_root(root, val=200)
    slow = {"evaluation.interval": 10, "evaluation.samples_per_gpu": 1, "data_root": repr(str(root))}
    training = lab.train(None, *sets(slow))
    training.until(lambda: training.done() >= 10, "iteration 10")
    time.sleep(0.5)
    assert training.report()["activity"] == "evaluating", training.report()
    time.sleep(lab.random.uniform(0, 0.5))
    took = training.stopped(number)
    training.has_saved()
    return _in_time("saved, exit code 5, bit-equal", took)


def signal_at_start(lab: Lab, number: signal.Signals = signal.SIGTERM) -> Result:
    """A resume is stopped at a random moment before its first iteration; what was there stays as it was."""
    training = lab.train()
    training.until(training.folder.has_checkpoint, "checkpoint")
    training.kill()
    training.ended()
    before = max(step for step, _ in training.folder.checkpoints())
    again = training.resumed(launcher=())
    time.sleep(lab.random.uniform(0.2, 4.0))
    took = again.stopped(number) if again.poll() is None else 0.0
    assert again.code in (5, -number), f"exit code {again.code}: {again.text()}"
    saved = max(step for step, _ in training.folder.checkpoints())
    assert saved == max(before, again.done()), f"{before} before, {again.done()} done, {saved} saved"
    lab.reference().require(training.folder, before)
    return _in_time("exit code 5, or by the signal while Python loads; nothing changed", took)


def signal_with_hanging_loader(lab: Lab, number: signal.Signals = signal.SIGTERM) -> Result:
    """The loader process is stopped, so that the next batch never comes; then the signal."""
    training = lab.train().reaches(2)
    worker = training.workers()[0]
    with suspended(worker.pid):
        _wait_until_it_waits(training)
        took = training.stopped(number)
    training.has_saved()
    wait_for(lambda: not worker.is_running(), "end of the loader process", 10, training)
    return _in_time("saved, exit code 5, bit-equal; no loader process left", took)


def _wait_until_it_waits(training: Training) -> None:
    at, since = training.done(), time.monotonic()
    while time.monotonic() - since < 1.0:
        if training.done() != at:
            at, since = training.done(), time.monotonic()
        assert training.poll() is None, training.text()[-3000:]
        time.sleep(0.05)


def _in_time(outcome: str, took: float) -> Result:
    assert took <= REACTION_S, f"took {took:.1f} s to save and end"
    return Result(outcome, seconds=took)


def each_signal(inject: Callable[[Lab, signal.Signals], Result], lab: Lab) -> Result:
    """The fault with the next of the five signals."""
    number = ASKING[lab.wanted % len(ASKING)]
    try:
        return inject(lab, number)
    except AssertionError as error:
        raise AssertionError(f"{number.name}: {error}") from error


stop_in_training = partial(each_signal, signal_in_training)
stop_in_evaluation = partial(each_signal, signal_in_evaluation)
stop_at_start = partial(each_signal, signal_at_start)
stop_with_hanging_loader = partial(each_signal, signal_with_hanging_loader)


def hangup_under_nohup(lab: Lab) -> Result:
    """SIGHUP stays ignored where nohup has ignored it."""
    if shutil.which("nohup") is None:
        raise NotHere("nohup is not installed")
    training = lab.train(launcher=("nohup",)).reaches(2)
    training.kill(signal.SIGHUP)
    training.reaches(5)
    training.stopped(signal.SIGTERM)
    training.has_saved()
    return Result("trains on; saved at SIGTERM")


def second_signal(lab: Lab) -> Result:
    """SIGTERM twice within 50 ms, as some schedulers send it."""
    training = lab.train().reaches(3)
    training.kill(signal.SIGTERM)
    time.sleep(lab.random.uniform(0, 0.05))
    took = training.stopped(signal.SIGTERM) if training.poll() is None else 0.0
    training.has_saved()
    return _in_time("saved, exit code 5, bit-equal", took)


def worker_killed(lab: Lab, number: signal.Signals = signal.SIGKILL) -> Result:
    """The loader process is ended."""
    training = lab.train().reaches(2)
    training.workers()[0].send_signal(number)
    sent = time.monotonic()
    training.ended()
    took = time.monotonic() - sent
    training.has_saved(code=1)
    assert "data loading process" in training.report()["message"], training.report()["message"]
    training.ends_well()
    return Result("saved, exit code 1, one message; end bit-equal", seconds=took)


worker_crashed = partial(worker_killed, number=signal.SIGSEGV)


def worker_hangs(lab: Lab) -> Result:
    """The loader process is stopped for good; training says what it waits for, and goes on when it may."""
    training = lab.train().reaches(2)
    since = time.monotonic()
    with suspended(training.workers()[0].pid):
        training.until(lambda: "no images for" in training.text(), "word of what it waits for", 90)
        took = time.monotonic() - since
    training.has_finished()
    return Result("says what it waits for; goes on; end bit-equal", seconds=took)


def process_suspended(lab: Lab) -> Result:
    """The training itself is stopped and continued."""
    training = lab.train().reaches(2)
    with suspended(training.pid):
        time.sleep(1)
        report = training.report()
        assert report["suspended"], report["message"]
    training.has_finished()
    return Result("shown as suspended; goes on; end bit-equal")


def watcher_killed(lab: Lab) -> Result:
    """The process that writes system.csv and alerts is killed."""
    training = lab.train().reaches(2)
    training.watcher().kill()
    training.has_finished()
    return Result("trains on; end bit-equal")


def supervisor_killed(lab: Lab) -> Result:
    """The process that waits for a detached training is killed."""
    folder, launch = lab.detached()
    assert launch.process
    os.kill(launch.supervisor.pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while launch.process.alive and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not launch.process.alive, "still running after two minutes"
    lab.reference().require(folder, lab.iterations, whole=True)
    _, text = lab.engine("runs", "show", folder.path)
    assert "finished" in text, text
    return Result("trains on; shown as finished; end bit-equal")


def two_starts(lab: Lab) -> Result:
    """A second start in the directory of a running training, once at the same moment, once later."""
    run = lab.new("run")
    both = [lab.train(run), lab.train(run)]
    wait_for(lambda: any(one.poll() is not None for one in both), "end of one of two", 60, both[0])
    [refused] = [one for one in both if one.poll() is not None]
    [training] = [one for one in both if one is not refused]
    late = lab.train(run, "--resume")
    for one in (refused, late):
        assert one.ended() == 1, one.text()
        assert "under way" in one.text(), one.text()
    training.has_finished()
    return Result("one is refused in one message; the other's end bit-equal")


def foreign_lock(lab: Lab) -> Result:
    """A lock of a process on another host; it cannot be known to be dead."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    training.kill()
    training.ended()
    lock = training.folder.lock
    owner = {**json.loads(lock.read_text()), "host": "elsewhere", "boot_id": "of another machine"}
    lock.write_text(json.dumps(owner))
    refused = training.resumed()
    assert refused.ended() == 1, refused.text()
    assert "another machine" in refused.text(), refused.text()
    lock.unlink()
    training.ends_well()
    return Result("refused in one message; once it is deleted: resumed, end bit-equal")
