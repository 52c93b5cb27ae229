"""``python -m tests.faults.ranks``: one of several training processes is lost, and what became of the others.

Every case starts torchrun with its processes, injects one fault once they train, waits until all have
ended, reads what they and `runs show` tell, and compares weights and optimizer in the checkpoint with
those of a training that nothing disturbed, at the same iteration; some are resumed to their end as well.
On a CPU both are equal to the bit.  Kernels of a GPU add in any order.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from diffbev_engine.cli.main import main as engine
from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.train.checkpoint import load_checkpoint
from diffbev_engine.train.loop import TrainingLoop
from diffbev_engine.train.step import TrainingStep
from tests.tiny import tiny_settings_for, write_tiny_root

_FAULT = "TESTS_RANK_FAULT"
_ITERATIONS = 40
_MARGIN_S = 5.0
"""For a machine with fewer cores than processes."""
_AT = 12
"""Faults from within happen at this iteration; by then no activity is without limit."""
_PACE_S = 0.05


def _worker(arguments: list[str]) -> None:
    """Be one of the processes; the fault, if it is this one's, comes from within."""
    kind, _, at = os.environ.get(_FAULT, "").partition("@")
    rank, _, iteration = at.partition(":")
    mine = kind and os.environ["RANK"] == rank
    run, draw, train = TrainingStep.run, TrainingLoop._draw, TrainingLoop.run

    def running(step: TrainingStep, number: int, batches: Any) -> Any:
        time.sleep(_PACE_S)
        if mine and number == int(iteration):
            if kind == "exception":
                raise ValueError("an injected defect")
            if kind == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. An injected lack of memory.")
            if kind == "hang":
                step.restore_point.began()  # its forward pass does not end
                time.sleep(3600)
            if kind == "kernel":
                torch.cuda._sleep(1 << 42)
        return run(step, number, batches)

    def drawing(loop: TrainingLoop, batches: Any) -> Any:
        if mine and kind == "loader" and loop.progress.iteration == int(iteration):
            time.sleep(3600)
        return draw(loop, batches)

    def training(loop: TrainingLoop, *arguments: Any) -> None:
        try:
            train(loop, *arguments)
        finally:
            if mine and kind == "leaving":
                time.sleep(3600)

    TrainingStep.run, TrainingLoop._draw, TrainingLoop.run = running, drawing, training  # type: ignore
    sys.argv = ["diffbev-engine", *arguments]
    engine()


@dataclass(frozen=True)
class Case:
    """One way to lose a process."""

    fault: str
    how: str
    words: str
    """What `runs show` has to tell."""
    inject: Callable[["Run"], None] | None = None
    within: str = ""
    """A fault from within the process instead: ``kind@rank:iteration``."""
    resume: bool = False
    """Whether the run is resumed, too."""
    of_main: bool = False
    """Whether another process saves: running averages of batch norm are of what that one saw."""


class Run:
    """A training under torchrun."""

    def __init__(
        self, config: Path, folder: Path, count: int, *, within: str = "", resume: bool = False
    ) -> None:
        """Start it."""
        self.folder, self.console, self.count = RunFolder(folder), folder.with_suffix(".txt"), count
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
        work = ("train", config, "--work-dir", folder, *(["--resume"] if resume else []))
        command = [sys.executable, *launcher, "-m", "tests.faults.ranks", "--worker", *map(str, work)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", _FAULT: within}
        with self.console.open("ab") as console:
            self.launcher = subprocess.Popen(
                command, stdout=console, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )
        self._ranks: dict[int, psutil.Process] = {}

    def ranks(self) -> dict[int, psutil.Process]:
        """The training processes, once all have started."""
        if len(self._ranks) < self.count:
            with suppress(psutil.Error):
                children = psutil.Process(self.launcher.pid).children()
                self._ranks = {
                    int(environment["RANK"]): child
                    for child in children
                    if "RANK" in (environment := child.environ())
                }
        return self._ranks

    def text(self) -> str:
        """What all of them printed."""
        return self.console.read_text(errors="replace")

    def until_it_trains(self) -> None:
        """Wait until a fault is noticed for sure: the first iterations are not limited."""
        deadline = time.monotonic() + 180
        while f" iter {_AT}/" not in self.text():
            assert self.launcher.poll() is None, self.text()[-3000:]
            assert time.monotonic() < deadline, "it does not train"
            self.ranks()
            time.sleep(0.02)
        assert len(self.ranks()) == self.count

    def ended(self, seconds: float) -> float:
        """Wait for the end of all processes; returns how long that took."""
        began = time.monotonic()
        while self.launcher.poll() is None or any(_runs(rank) for rank in self.ranks().values()):
            if time.monotonic() - began > seconds:
                self.end()
                raise AssertionError(f"after {seconds:.0f} s some processes still ran")
            time.sleep(0.05)
        return time.monotonic() - began

    def end(self) -> None:
        """Kill what is left."""
        for rank in self._ranks.values():
            with suppress(psutil.Error):
                rank.kill()
        self.launcher.kill()
        self.launcher.wait()


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(rank: int, number: signal.Signals) -> Callable[[Run], None]:
    return lambda run: run.ranks()[rank].send_signal(number)


def _cancel(run: Run) -> None:
    """What a scheduler does; torchrun passes it on once more."""
    for process in (*run.ranks().values(), run.launcher):
        process.send_signal(signal.SIGTERM)


def _cases(count: int, on_gpu: bool) -> list[Case]:
    last = count - 1
    killed, told = rf"rank {last} of {count} .*was killed or crashed", rf"rank {last} of {count} .*"
    cases = [
        Case("a rank is killed", "SIGKILL", killed, _send(last, signal.SIGKILL), resume=True),
        Case("a rank crashes", "SIGSEGV", killed, _send(last, signal.SIGSEGV)),
        Case("a rank is suspended", "SIGSTOP", f"{told}suspended", _send(last, signal.SIGSTOP), resume=True),
        Case(
            "a rank has a defect", "exception", f"{told}failed: ValueError", within=f"exception@{last}:{_AT}"
        ),
        Case(
            "a rank has no memory", "error", f"{told}failed: out of GPU memory", within=f"memory@{last}:{_AT}"
        ),
        Case("a rank gets no data", "hangs", f"{told}hangs: loading", within=f"loader@{last}:{_AT}"),
        Case(
            "a rank computes for ever",
            "hangs",
            rf"{told}hangs: computing|hangs: computing .*, as rank {last} does; one waits for the other",
            within=f"hang@{last}:{_AT}",
            resume=True,
        ),
        Case(
            "a rank is killed, and the main one hangs as it leaves",
            "SIGKILL",
            killed,
            _send(last, signal.SIGKILL),
            within=f"leaving@0:{_AT}",
        ),
        Case(
            "the main rank is killed",
            "SIGKILL",
            f"rank 0 of {count} .*was killed",
            _send(0, signal.SIGKILL),
            resume=True,
            of_main=True,
        ),
        Case(
            "the main rank is suspended",
            "SIGSTOP",
            "rank 0 .*suspended",
            _send(0, signal.SIGSTOP),
            of_main=True,
        ),
        Case("the main rank gets no data", "hangs", "rank 0 .*hangs: loading", within=f"loader@0:{_AT}"),
        Case("a rank is asked to stop", "SIGTERM", "stopped it at", _send(last, signal.SIGTERM)),
        Case("torchrun is asked to stop", "SIGTERM", "SIGTERM", lambda run: run.launcher.terminate()),
        Case("Ctrl+C", "SIGINT to torchrun", "SIGINT", lambda run: run.launcher.send_signal(signal.SIGINT)),
        Case("the job is cancelled", "SIGTERM to all", "SIGTERM", _cancel),
        Case("torchrun is killed", "SIGKILL", "torchrun", lambda run: run.launcher.kill()),
    ]
    if on_gpu:
        kernel = f"kernel@{last}:{_AT}"
        cases.append(
            Case("a GPU kernel does not end", "spins", f"{told}hangs: computing", within=kernel, resume=True)
        )
    return cases


class Bench:
    """A place for the trainings of one call, and the undisturbed one."""

    def __init__(self, home: Path, count: int, limit_s: float) -> None:
        """Train undisturbed, and keep every iteration."""
        self._home, self._count, self._limit_s = home, count, limit_s
        settings = tiny_settings_for(write_tiny_root(home / "root"))
        common = {
            "runner": {"max_iters": _ITERATIONS},
            "evaluation": {"interval": 1000},
            "dist_params": {"timeout": limit_s},
        }
        for name, interval in (("undisturbed", 1), ("tiny", 1000)):
            saving = {"checkpoint_config": {"interval": interval, "max_keep_ckpts": _ITERATIONS}}
            changed = Settings.model_validate({**settings.model_dump(), **common, **saving})
            (home / f"{name}.py").write_text(dump_config(changed))
        self._undisturbed = Run(home / "undisturbed.py", home / "undisturbed", count)
        self._undisturbed.ended(300)
        assert self._undisturbed.launcher.returncode == 0, self._undisturbed.text()[-3000:]

    def inject(self, case: Case, number: int) -> tuple[float, str]:
        """Inject one fault; returns the time to the end of all processes and what became of the run."""
        name = f"{number}_{case.fault.replace(' ', '_')}"
        run = Run(self._home / "tiny.py", self._home / name, self._count, within=case.within)
        try:
            run.until_it_trains()
            if case.inject:
                case.inject(run)
            seconds = run.ended(self._limit_s + 45)
        finally:
            run.end()
        report, text = inspect_run(run.folder.path), run.text()
        assert run.launcher.returncode != 0, "torchrun ended with exit code 0"
        assert re.search(case.words, report.message), f"`runs show` tells {report.message!r}"
        assert report.resumable
        assert seconds <= self._limit_s + _MARGIN_S, f"{seconds:.1f} s until all had ended"
        if "SIGTERM" not in case.how and "SIGINT" not in case.how:
            survivors = self._count - len(re.findall(r"^rank \d+: ", text, re.MULTILINE))
            assert survivors <= 1, f"not every survivor told which was lost:\n{text[-2000:]}"
        outcome = f"`{report.state.value}`, iteration saved {self._compared(run.folder, case)}"
        if case.resume and number == 0:
            again = Run(self._home / "tiny.py", run.folder.path, self._count, resume=True)
            again.ended(300)
            assert again.launcher.returncode == 0, again.text()[-3000:]
            outcome += f"; resumed, the end {self._compared(run.folder, case, _ITERATIONS)}"
        return seconds, outcome

    def _compared(self, folder: RunFolder, case: Case, iteration: int | None = None) -> str:
        """The newest checkpoint against that of the undisturbed training."""
        found = load_checkpoint(folder.latest, to_resume=True)
        assert found.iteration >= (iteration or _AT), f"only iteration {found.iteration} is saved"
        true = load_checkpoint(self._undisturbed.folder.checkpoint(found.iteration))
        pairs = [
            (found.model[name], true.model[name])
            for name in true.model
            if not case.of_main or "running_" not in name
        ]
        for number, state in true.optimizer["state"].items():
            pairs += [(found.optimizer["state"][number][name], state[name]) for name in state]
        off = max(float((ours.double() - theirs.double()).abs().max()) for ours, theirs in pairs)
        return "equal to the bit" if off == 0 else f"off by at most {off:.2g}"


def _row(bench: Bench, case: Case, times: int) -> tuple[str, list[str]]:
    """The row of a fault in the table, and what went wrong."""
    longest, outcome, problems = 0.0, "", []
    for number in range(times):
        try:
            seconds, found = bench.inject(case, number)
            longest, outcome = max(longest, seconds), outcome or found
        except AssertionError as problem:
            problems.append(f"{case.fault}: {problem}")
    outcome = f"**{len(problems)} wrong**; {outcome}" if problems else outcome
    row = f"| {case.fault} | {case.how} | {times} | {outcome} | {longest:.1f} |"
    print(row, *problems, sep="\n", flush=True)
    return row, problems


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--times", type=int, default=1, help="how often each fault is injected")
    parser.add_argument("--ranks", type=int, default=2, help="training processes")
    parser.add_argument("--limit", type=float, default=20.0, help="dist_params.timeout, seconds")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--at-once", type=int, default=1, help="faults that are injected side by side")
    chosen = parser.parse_args()
    if chosen.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    cases = [case for case in _cases(chosen.ranks, chosen.device == "cuda") if chosen.only in case.fault]
    with tempfile.TemporaryDirectory(prefix="ranks_") as home, ThreadPoolExecutor(chosen.at_once) as pool:
        bench = Bench(Path(home), chosen.ranks, chosen.limit)
        found = list(pool.map(lambda case: _row(bench, case, chosen.times), cases))
    print(f"\n{chosen.ranks} processes on {chosen.device}, dist_params.timeout={chosen.limit:g}\n")
    print(
        "| fault | injected by | times | outcome | longest time to the end of all, s |",
        "|---" * 5 + "|",
        sep="\n",
    )
    print(*(row for row, _ in found), sep="\n")
    sys.exit(1 if any(problems for _, problems in found) else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _worker(sys.argv[2:])
    else:
        main()
