"""A real tiny training to injure, and what it would have been without: its exact state after every iteration.

Trainings are forked from this process, which has imported torch once, unless they need an
environment of their own; each is a process, a session and a run directory as those of users.
"""

import atexit
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil
import torch

from diffbev_engine.cli.main import main
from diffbev_engine.config.load import dump_config
from diffbev_engine.evaluate import run as _evaluation  # noqa: F401 - imported once, here
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, read_launch
from diffbev_engine.runs.status import read_status
from diffbev_engine.train import train as _train  # noqa: F401
from diffbev_engine.train.checkpoint import load_checkpoint
from tests.tiny import tiny_settings_for, write_tiny_root

SAVED_EVERY = 5
_EXACT = ("model", "optimizer", "scaler", "meter", "random")
_SPEEDS = ("images_per_s", "gpu_mem_mb")
_DONE = re.compile(r" iter (\d+)/")
_RESUMED = re.compile(r"resuming after iteration (\d+)")


class NotHere(Exception):
    """The fault cannot be injected on this machine; the text says why."""


@dataclass(frozen=True)
class Result:
    """What injecting a fault, once or more often, led to; what should not happen is an AssertionError."""

    outcome: str
    times: int = 1
    seconds: float | None = None
    """The longest reaction."""
    lost: int | None = None
    """The most iterations that had to be done again."""
    failures: tuple[str, ...] = ()
    """What should not have happened, where the others of ``times`` were tried all the same."""


class Lab:
    """A place for run directories, and the undisturbed trainings to compare them with."""

    def __init__(self, home: Path, seed: int = 0, iterations: int = 100) -> None:
        """``iterations``: of one training; none should end before it is injured."""
        self.home, self.iterations = home, iterations
        self.random = Random(seed)
        self.wanted = 1
        """Injections of the current fault still to do."""
        self._count = 0
        self._trainings: list[Training] = []
        self._detached: list[RunFolder] = []
        self._references: dict[int, Reference] = {}
        self.root = home / "root"
        write_tiny_root(self.root)

    def new(self, name: str) -> Path:
        """A path that nothing has used."""
        self._count += 1
        return self.home / f"{self._count:04d}_{name}"

    def config(self, iterations: int = 0) -> Path:
        """The configuration file of a training."""
        iterations = iterations or self.iterations
        path = self.home / f"tiny_{iterations}.py"
        if not path.exists():
            settings = tiny_settings_for(self.root)
            changed = {
                "data": settings.data.model_copy(update={"workers_per_gpu": 1}),
                "runner": settings.runner.model_copy(update={"max_iters": iterations}),
                "checkpoint_config": settings.checkpoint_config.model_copy(
                    update={"interval": SAVED_EVERY, "max_keep_ckpts": 3}
                ),
                "evaluation": settings.evaluation.model_copy(update={"interval": 4 * SAVED_EVERY}),
            }
            path.write_text(dump_config(settings.model_copy(update=changed)))
        return path

    def train(self, run: Path | None = None, *arguments: object, **options: Any) -> "Training":
        """Start a training."""
        training = Training(self, run or self.new("run"), *arguments, **options)
        self._trainings.append(training)
        return training

    def detached(self) -> tuple[RunFolder, Launch]:
        """Start a training in the background; returns once it trains."""
        folder = RunFolder(self.new("run"))
        code, text = self.engine("train", self.config(), "--work-dir", folder.path, "--detach")
        launch = read_launch(folder)
        assert code == 0, text
        assert launch is not None
        self._detached.append(folder)
        return folder, launch

    def engine(self, *arguments: object, seconds: float = 60) -> tuple[int, str]:
        """Run ``diffbev-engine ARGUMENTS``; returns its exit code and all that it printed."""
        console = self.new("console")
        process = Process(arguments, console)
        code = process.ended(seconds)
        return code, console.read_text()

    def reference(self, iterations: int = 0) -> "Reference":
        """The undisturbed training; made when it is first asked for."""
        key = iterations or self.iterations
        if key not in self._references:
            all_kept = {"interval": 1, "max_keep_ckpts": key} if key <= self.iterations else {}
            settings = {f"checkpoint_config.{name}": value for name, value in all_kept.items()}
            training = self.train(None, *sets(settings), iterations=key)
            assert training.ended(3600) == 0, training.console.read_text()[-2000:]
            self._references[key] = Reference.of(training.folder)
        return self._references[key]

    def tidy(self) -> None:
        """End what still runs and remove all files."""
        for training in self._trainings:
            training.end()
        for folder in self._detached:
            launch = read_launch(folder)
            if launch and launch.process and launch.process.alive:
                os.kill(launch.process.pid, signal.SIGKILL)
        self._trainings.clear()
        self._detached.clear()
        for path in self.home.glob("0*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


class Process:
    """``diffbev-engine ARGUMENTS`` as a process of its own session, what it prints in a file."""

    def __init__(
        self,
        arguments: Sequence[object],
        console: Path,
        launcher: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it: forked, or through ``launcher`` (which may be empty) as a program of its own."""
        self.console = console
        self.code: int | None = None
        words = list(map(str, arguments))
        self.pid = os.fork()
        if self.pid == 0:
            _be(words, console, launcher, environment or {})

    def poll(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; ``None`` while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def ended(self, seconds: float = 60) -> int:
        """Wait for its end; returns its exit code."""
        wait_for(lambda: self.poll() is not None, "end", seconds, self)
        assert self.code is not None
        text = self.console.read_text(errors="replace")
        assert "Traceback (most recent call last)" not in text, f"a traceback\n{text[-3000:]}"
        return self.code

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """Kill it and whatever it started in its session."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL


def _be(
    words: list[str], console: Path, launcher: Sequence[str] | None, environment: Mapping[str, str]
) -> None:
    """Become the program, in a forked child; never returns."""
    code = 1
    try:
        os.setsid()
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(environment)
        if launcher is not None:
            command = [*launcher, sys.executable, "-m", "diffbev_engine", *words]
            os.execvp(command[0], command)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        sys.argv = ["diffbev-engine", *words]
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


class Training(Process):
    """A training in progress."""

    def __init__(
        self,
        lab: Lab,
        run: Path,
        *arguments: object,
        iterations: int = 0,
        launcher: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.lab, self.folder = lab, RunFolder(run)
        self.iterations = iterations or lab.iterations
        command = ("train", lab.config(iterations), "--work-dir", run, *arguments)
        super().__init__(command, lab.new("console"), launcher, environment)

    def text(self) -> str:
        """What it has printed."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def done(self) -> int:
        """Iterations done, as printed; 0 before the first of this start."""
        found = _DONE.findall(self.text())
        return int(found[-1]) if found else 0

    def resumed_at(self) -> int | None:
        """The iteration that it continued after; ``None`` if it has not said so."""
        found = _RESUMED.search(self.text())
        return int(found[1]) if found else None

    def reaches(self, more: int, seconds: float = 60) -> "Training":
        """Wait for ``more`` further iterations."""
        goal = (self.done() or self.resumed_at() or 0) + more
        self.until(lambda: self.done() >= goal, f"iteration {goal}", seconds)
        return self

    def until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait until ``condition`` holds, which it must before the training ends."""
        wait_for(lambda: condition() or self.poll() is not None, what, seconds, self)
        assert condition(), f"it ended with {self.code} before {what}\n{self.text()[-3000:]}"

    def resumed(self, **options: Any) -> "Training":
        """Start it again with ``--resume``; without, where it was ended before its first checkpoint."""
        again = ("--resume",) if self.folder.has_checkpoint() else ()
        return self.lab.train(self.folder.path, *again, iterations=self.iterations, **options)

    def stopped(self, number: signal.Signals) -> float:
        """Send ``number`` and wait for the end; returns the seconds that took."""
        self.kill(number)
        sent = time.monotonic()
        self.ended()
        return time.monotonic() - sent

    def has_saved(self, code: int = 5) -> None:
        """Require that it has ended with ``code`` and saved every iteration that it has done, to the bit."""
        assert self.poll() == code, f"exit code {self.poll()}, not {code}\n{self.text()[-3000:]}"
        saved = self.folder.checkpoints()[-1][0]
        assert saved == (self.done() or self.resumed_at()), f"done {self.done()}, saved {saved}"
        self.lab.reference(self.iterations).require(self.folder, saved)

    def has_finished(self, *, whole: bool = True) -> None:
        """Require that it ends as if nothing had happened, to the bit, and says so.

        ``whole``: with the evaluations of the undisturbed training, too.
        """
        assert self.ended(120) == 0, f"exit code {self.code}\n{self.text()[-3000:]}"
        self.lab.reference(self.iterations).require(self.folder, self.iterations, whole=whole)
        assert self.report()["state"] == "finished", self.report()

    def ends_well(self) -> None:
        """Resume it, and require that it finishes as if nothing had happened."""
        self.resumed().has_finished()

    def report(self) -> dict[str, Any]:
        """``runs show --json``."""
        code, text = self.lab.engine("runs", "show", self.folder.path, "--json")
        assert code == 0, text
        found: dict[str, Any] = json.loads(text)
        return found

    def workers(self) -> list[psutil.Process]:
        """Its loader processes, oldest first; the watcher is none of them."""
        own = psutil.Process(self.pid)
        found = [child for child in own.children() if child.cmdline() == own.cmdline()]
        return sorted(found, key=lambda child: (child.create_time(), child.pid))

    def watcher(self) -> psutil.Process:
        """The process that writes system.csv and alerts."""
        children = psutil.Process(self.pid).children()
        return next(child for child in children if "diffbev_engine.runs.watch" in child.cmdline())


@dataclass(frozen=True)
class Reference:
    """An undisturbed training."""

    states: Mapping[int, Mapping[str, str]]
    """Digests of the parts of every checkpoint."""
    rows: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, folder: RunFolder) -> "Reference":
        """The training in ``folder``, whose files are then removed."""
        states = {number: state(path) for number, path in folder.checkpoints()}
        found = cls(states, dict(rows(folder)))
        shutil.rmtree(folder.path, ignore_errors=True)  # the process that watched it may still write
        return found

    def require(self, folder: RunFolder, iteration: int, *, whole: bool = False) -> None:
        """Require the same state and rows in ``folder`` up to ``iteration``; ``whole``: evaluations too."""
        self.require_state(folder, iteration, whole=whole)
        found = list(rows(folder))
        expected = {
            key: row
            for key, row in self.rows.items()
            if int(key[0]) <= iteration and (whole or key[1] == "train")
        }
        got = {key: row for key, row in found if whole or key[1] == "train"}
        differ = {key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key)}
        wrong = sorted({int(step) for step, _ in differ})
        assert not wrong, f"metrics.csv differs from the undisturbed run at iterations {wrong[:8]}"
        assert len(found) == len(dict(found)), "metrics.csv has rows twice"

    def require_state(self, folder: RunFolder, iteration: int, *, whole: bool = False) -> None:
        """Require the same state in the checkpoint; ``whole``: what is known of evaluations, too."""
        mine = state(folder.checkpoint(iteration))
        parts = [*_EXACT, *(("best", "evaluated") if whole else ())]
        differs = [part for part in parts if mine[part] != self.states[iteration][part]]
        assert not differs, f"iteration {iteration} differs from the undisturbed run in {differs}"


def sets(settings: Mapping[str, object]) -> list[str]:
    """The options that change ``settings``."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def state(path: Path) -> dict[str, str]:
    """A digest of each part of a checkpoint."""
    checkpoint = load_checkpoint(path, to_resume=True)
    return {part: _digest(getattr(checkpoint, part)) for part in (*_EXACT, "best", "evaluated")}


def _digest(value: object) -> str:
    digest = hashlib.sha256()

    def add(part: object) -> None:
        if isinstance(part, torch.Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
        elif isinstance(part, dict):
            for key, child in part.items():
                add(key)
                add(child)
        elif isinstance(part, list | tuple):
            for child in part:
                add(child)
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()


def rows(folder: RunFolder) -> Iterator[tuple[tuple[str, str], str]]:
    """(step, mode) and the other columns of each row, speeds left out."""
    with folder.metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            values = {name: value for name, value in row.items() if name not in _SPEEDS}
            yield (row["step"], row["mode"]), json.dumps(values)


def step(folder: RunFolder) -> int:
    """The iteration in ``status.json``."""
    status = read_status(folder.status)
    return status.step if status else 0


def wait_for(
    condition: Callable[[], object], what: str, seconds: float, process: Process | None = None
) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            printed = process.console.read_text(errors="replace")[-3000:] if process else ""
            raise AssertionError(f"no {what} within {seconds:g} s\n{printed}")
        time.sleep(0.01)
