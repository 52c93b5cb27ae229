"""What happens to disks, data, clock and memory while a training goes on."""

import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import psutil

from tests.faults.injections import (
    Clock,
    failing,
    full,
    moved_away,
    read_only,
    replaced,
    small_disk,
    system,
)
from tests.faults.lab import SAVED_EVERY, Lab, NotHere, Result, Training, sets
from tests.faults.stops import REACTION_S

_DISK_MIB = 64
_HURT_S = 2.0
_SAID = re.compile(r" [WE] (.*)")


def _survives(training: Training, outcome: str, *, whole: bool = True) -> Result:
    """Require that it goes on as if nothing had happened, and that each problem is said once."""
    training.has_finished(whole=whole)
    said = [re.sub(r"\d+", "0", line) for line in _SAID.findall(training.text())]
    often = {line for line in said if said.count(line) > 1}
    assert not often, f"said {max(map(said.count, often))} times: {min(often)}"
    assert len(said) > 2, "nothing was said"  # the first two are of the machine and the tiny data
    return Result(outcome)


def full_between_checkpoints(lab: Lab) -> Result:
    """Not a byte is left while rows are written, but no checkpoint."""
    rarely = dict.fromkeys(("checkpoint_config.interval", "evaluation.interval"), lab.iterations)
    with small_disk(lab, _DISK_MIB) as disk:
        training = lab.train(disk / "run", *sets(rarely)).reaches(2)
        with full(disk):  # what is appended fits into the last page for a while
            training.until(lambda: "cannot write" in training.text(), "word of it")
            training.reaches(SAVED_EVERY)
        return _survives(training, "goes on, said once; every row is there; end bit-equal", whole=False)


def full_while_saving(lab: Lab) -> Result:
    """1 MiB is left, a quarter of a checkpoint, until two could not be written."""
    with small_disk(lab, _DISK_MIB) as disk:
        training = lab.train(disk / "run").reaches(SAVED_EVERY + 1)
        with full(disk, left=1 << 20):
            _hurt(training)
        return _survives(training, "goes on, said once; saves again; nothing lost, end bit-equal")


def _hurt(training: Training) -> None:
    """Let the training feel a fault for a while, at least over one due checkpoint."""
    time.sleep(_HURT_S)
    assert training.poll() is None, f"it ended with {training.code}\n{training.text()[-3000:]}"


def full_to_the_end(lab: Lab) -> Result:
    """The disk stays full; the training is stopped; space is freed; it is resumed."""
    with small_disk(lab, _DISK_MIB) as disk:
        training = lab.train(disk / "run").reaches(2 * SAVED_EVERY + 1)
        with full(disk):
            training.reaches(SAVED_EVERY)
            training.kill(signal.SIGTERM)
            since = time.monotonic()
            code = training.ended(120)
            took = time.monotonic() - since
            assert code in (1, 5), f"exit code {code}"
        lost = _lost_at_resume(training)
    return Result("ends in one message; resumed once freed, end bit-equal", seconds=took, lost=lost)


def _lost_at_resume(training: Training) -> int:
    """Resume it to a bit-equal end; returns the iterations that had to be done again."""
    again = training.resumed()
    again.has_finished()
    return training.done() - (again.resumed_at() or 0)


def read_only_disk(lab: Lab) -> Result:
    """The run directory is mounted read-only for two seconds."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    with read_only(training.folder.path):
        _hurt(training)
    return _survives(training, "goes on, said once; saves again; end bit-equal")


def directory_moved(lab: Lab) -> Result:
    """The run directory is moved away for two seconds and back."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    with moved_away(training.folder.path):
        _hurt(training)
    return _survives(training, "goes on, said once; saves again; end bit-equal")


def directory_deleted(lab: Lab) -> Result:
    """The run directory is deleted."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    shutil.rmtree(training.folder.path)
    time.sleep(_HURT_S)
    if training.poll() is None:
        training.kill(signal.SIGTERM)
    code = training.ended()
    assert code in (1, 5), f"exit code {code}"
    assert "deleted or moved" in training.text() or training.folder.has_checkpoint(), training.text()[-3000:]
    return Result("said; ends in one message")


def failing_calls(lab: Lab, calls: str, error: str) -> Result:
    """System calls of the training fail for two seconds."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    with failing(training.pid, calls, error):
        _hurt(training)
    return _survives(training, "goes on, said once; saves again; end bit-equal")


fsync_fails = partial(failing_calls, calls="fsync,fdatasync", error="EIO")
over_quota = partial(failing_calls, calls="rename,renameat,renameat2", error="EDQUOT")


@contextmanager
def _own_root(lab: Lab) -> Iterator[Path]:
    """A copy of the data root."""
    root = lab.new("root")
    shutil.copytree(lab.root, root)
    yield root


def _with_root(lab: Lab, root: Path) -> Training:
    return lab.train(None, *sets({"data_root": repr(str(root))})).reaches(2)


def _ends_and_resumes(training: Training, hurt: AbstractContextManager[None], words: str) -> Result:
    """Require one message with ``words``, all iterations saved, and a bit-equal end once it is over."""
    with hurt:
        since = time.monotonic()
        training.ended()
        took = time.monotonic() - since
    training.has_saved(code=1)
    assert words in training.report()["message"], training.report()["message"]
    training.ends_well()
    return Result("saved, exit code 1, the file is named; once it is back: end bit-equal", seconds=took)


def truncated_image(lab: Lab) -> Result:
    """One image loses all but its first 300 bytes."""
    with _own_root(lab) as root:
        training = _with_root(lab, root)
        image = lab.random.choice(sorted((root / "img_dir/train").iterdir()))
        return _ends_and_resumes(training, replaced(image, by="truncated"), image.name)


def data_unmounted(lab: Lab) -> Result:
    """The file system of the data root is unmounted; its mount point is empty then."""
    with small_disk(lab, 8) as root:
        shutil.copytree(lab.root, root, dirs_exist_ok=True)
        elsewhere = lab.new("kept")
        elsewhere.mkdir()
        system("mount", "--bind", root, elsewhere)
        training = _with_root(lab, root)
        try:
            return _ends_and_resumes(training, _unmounted(root, elsewhere), str(root))
        finally:
            system("umount", "-l", elsewhere)


@contextmanager
def _unmounted(path: Path, also_at: Path) -> Iterator[None]:
    system("umount", "-l", path)
    try:
        yield
    finally:
        system("mount", "--bind", also_at, path)


def hanging_image(lab: Lab) -> Result:
    """A fifo takes the place of an image, as a network disk that does not answer; then SIGTERM."""
    with _own_root(lab) as root:
        training = _with_root(lab, root)
        image = lab.random.choice(sorted((root / "img_dir/train").iterdir()))
        with replaced(image, by="fifo"):
            time.sleep(1)
            if training.poll() is None:  # no fifo is opened: then it is a damaged image
                took = training.stopped(signal.SIGTERM)
                assert took <= REACTION_S, f"took {took:.1f} s to save and end"
        training.has_saved(code=training.code or 5)
        training.ends_well()
        return Result("saved; once it is back: end bit-equal")


def clock_set(lab: Lab, by: int) -> Result:
    """The clock of the training is set, two seconds later set right."""
    clock = Clock(lab)
    training = lab.train(launcher=(), environment=clock.environment).reaches(3)
    for shift in (by, 0):
        clock.set(shift)
        training.reaches(8)
        before = training.report()
        time.sleep(2.5)  # a heartbeat is due every 2 s
        after = training.report()
        assert training.poll() is not None or after["step"] > before["step"], (before, after)
        assert after["state"] in ("running", "finished"), after["message"]
        assert not after["stalled"], after["message"]
        assert after["it_per_s"] is None or after["it_per_s"] > 0.1, after["it_per_s"]
    training.has_finished()
    return Result("trains on, heartbeat goes on; end bit-equal")


clock_back = partial(clock_set, by=-3600)
clock_forward = partial(clock_set, by=3600)


def memory_limit(lab: Lab) -> Result:
    """The training may not have more memory than it has now (RLIMIT_AS), in the middle of an iteration."""
    training = lab.train().reaches(SAVED_EVERY + 1)
    had = psutil.Process(training.pid).memory_info().vms
    resource.prlimit(training.pid, resource.RLIMIT_AS, (had // 2, had // 2))
    code = training.ended()
    assert code in (1, 3), f"exit code {code}"
    assert "memory" in training.report()["message"], training.report()["message"]
    return Result("ends in one message; resumed, end bit-equal", lost=_lost_at_resume(training))


def cgroup_limit(lab: Lab) -> Result:
    """The kernel kills at a memory limit of systemd."""
    limit = ["systemd-run", "--quiet", "--scope", "-p", "MemoryMax=200M", "-p", "MemorySwapMax=0"]
    if shutil.which("systemd-run") is None:
        raise NotHere("systemd-run is not installed")
    tried = subprocess.run([*limit, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NotHere(f"systemd-run: {tried.stderr.splitlines()[0]}")
    training = lab.train(launcher=limit)
    code = training.ended()
    assert code == -signal.SIGKILL or code > 0, f"exit code {code}"
    fresh = training.resumed()
    fresh.has_finished()
    return Result("killed by the kernel; started again without the limit: end bit-equal")
