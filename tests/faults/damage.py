"""Every file of a run directory damaged in every way, after a crash: listing, showing, resuming."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from diffbev_engine.runs.folder import RunFolder
from tests.faults.lab import SAVED_EVERY, Lab, Result, step, wait_for

FILES = (
    *("status.json", "run.json", "launch.json", "run.lock", "metrics.csv", "alerts.jsonl", "system.csv"),
    *("latest.pth", "iter_{newest}.pth", "best_mIoU.pth"),
)
_RESUME_S = 60


def flipped(path: Path, random: Random) -> None:
    """64 bits anywhere, or one in eight of a small file's bytes."""
    content = bytearray(path.read_bytes())
    for _ in range(min(64, len(content) // 8 + 1)):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def emptied(path: Path, _random: Random) -> None:
    """No bytes."""
    path.write_bytes(b"")


def zeroed(path: Path, _random: Random) -> None:
    """As many zeros."""
    path.write_bytes(bytes(path.stat().st_size))


def truncated(path: Path, random: Random) -> None:
    """A part from the start."""
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(1, len(content))])


def a_directory(path: Path, _random: Random) -> None:
    """A directory of that name."""
    path.unlink()
    path.mkdir()


def a_fifo(path: Path, _random: Random) -> None:
    """A fifo: reading it hangs."""
    path.unlink()
    os.mkfifo(path)


def a_link_loop(path: Path, _random: Random) -> None:
    """A symbolic link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def damaged(lab: Lab, damage: Callable[[Path, Random], None]) -> Result:
    """Each file in turn: ``runs list``, ``runs show``, ``train --resume``."""
    original = crashed_run(lab)
    outcomes, failures = {"goes on": 0, "one message": 0}, []
    files = [name.format(newest=original.checkpoints()[-1][0]) for name in FILES][: lab.wanted]
    for name in files:
        place = lab.new("place")
        shutil.copytree(original.path, place / "whole")
        run = RunFolder(shutil.copytree(original.path, place / "hurt"))
        damage(run.path / name, lab.random)
        try:
            _are_listed(lab, place)
            outcomes[_resumes(lab, run)] += 1
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    outcome = ", ".join(f"{what} {count}×" for what, count in outcomes.items() if count)
    return Result(f"both runs listed; resume: {outcome}", len(files), failures=tuple(failures))


def crashed_run(lab: Lab) -> RunFolder:
    """A detached run that was killed with its supervisor, so that its lock is left."""
    kept = RunFolder(lab.home / "crashed")
    if kept.path.exists():
        return kept
    folder, launch = lab.detached()
    training = launch.process
    assert training
    wait_for(lambda: step(folder) > 0.8 * lab.iterations, "iteration", 120)
    os.kill(training.pid, signal.SIGSTOP)
    wait_for(folder.alerts.exists, "alert, which a stopped process is", 60)
    for process in (launch.supervisor, training):
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not training.alive, "end", 10)
    return RunFolder(folder.path.rename(kept.path))


def _are_listed(lab: Lab, place: Path) -> None:
    code, text = lab.engine("runs", "list", place)
    assert code == 0, text
    assert {"whole", "hurt"} <= set(text.split()), text
    for run in ("whole", "hurt"):
        code, text = lab.engine("runs", "show", place / run)
        assert code == 0, text
        assert "Traceback" not in text, text


def _resumes(lab: Lab, run: RunFolder) -> str:
    newest = run.checkpoints()[-1][0]
    training = lab.train(run.path, "--resume")
    code = training.ended(_RESUME_S)
    if code:
        errors = [line for line in training.text().splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, training.text()
        return "one message"
    at = training.resumed_at()
    assert at is not None, f"it has started over\n{training.text()}"
    assert newest - at <= SAVED_EVERY, f"resumed at {at}, {newest} was there"
    lab.reference().require_state(run, lab.iterations)
    return "goes on"


DAMAGES = {
    "flipped bits": partial(damaged, damage=flipped),
    "emptied": partial(damaged, damage=emptied),
    "zeroed": partial(damaged, damage=zeroed),
    "truncated": partial(damaged, damage=truncated),
    "a directory instead": partial(damaged, damage=a_directory),
    "a fifo instead": partial(damaged, damage=a_fifo),
    "a link loop instead": partial(damaged, damage=a_link_loop),
}
