"""The ablation: every variant under every seed, trained by the real command line, in one table.

The table is rewritten after every run that ends; a killed ablation leaves the table of
what was finished, and the same command continues from there.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch

from diffbev_engine.bench.ablation_runs import Training, check_same_experiment, plan_trainings
from diffbev_engine.bench.ablation_table import Circumstances, as_json, as_markdown, to_text
from diffbev_engine.bench.scheduler import (
    Entry,
    State,
    locked,
    look_up,
    slots_of,
    start_training,
    work_off,
)
from diffbev_engine.bench.speed import Speed, measure_speed
from diffbev_engine.bench.synthetic import SAMPLES_PER_SCENE, make_data_root, scenes_for
from diffbev_engine.bench.variants import check_variants
from diffbev_engine.core.errors import DiffBEVError, ExitCode, UsageError
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.core.format import points
from diffbev_engine.dataset.records import read_records
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.train.distributed import Processes, device_name, join_processes
from diffbev_engine.train.signals import stop_on_signals

_SPEED_ITERATIONS, _SPEED_ROUNDS = 10, 3


@dataclass(frozen=True)
class AblationJob:
    """One ablation."""

    config: str
    out: Path
    command: str
    """The command line, for the table."""
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    data_root: Path | None = None
    """Prepared data; ``None``: a synthetic world in ``out``."""
    frames: int = 2400
    """Size of the synthetic world."""
    jobs: int = 1
    """Runs at a time on each GPU."""
    gpu_ids: tuple[int, ...] = ()
    deadline_s: float = inf
    """Seconds after which runs are stopped and none is started."""
    speed: bool = True
    """Whether to time the networks when all runs have ended."""


@dataclass(frozen=True)
class AblationResult:
    """The table in both forms, and how the ablation ended."""

    markdown: str
    content: dict[str, Any]
    exit_code: ExitCode


class _Table:
    """The files of the result; rewritten whole."""

    def __init__(self, out: Path, facts: Circumstances, entries: list[Entry]) -> None:
        self._out, self._facts, self.entries = out, facts, entries
        self.speeds, self._measured_on = _read_speeds(out)

    def write(self) -> tuple[str, dict[str, Any]]:
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        markdown = as_markdown(self._facts, self.entries, self.speeds, date)
        content = as_json(self._facts, self.entries, self.speeds, date)
        try:
            write_text(self._out / "ablation.md", markdown)
            write_text(self._out / "ablation.json", to_text(content))
        except OSError as error:
            raise DiffBEVError(
                f"cannot write the table to {self._out}: {error.strerror or error}. Finished runs "
                f"are kept. Fix this, then run the same command again."
            ) from error
        return markdown, content

    def forget_speeds_of_other_machines(self, machine: str) -> None:
        if self._measured_on != machine:
            self.speeds.clear()
            self._measured_on = machine

    def add_speed(self, variant: str, speed: Speed) -> None:
        self.speeds[variant] = speed
        known = {name: asdict(value) for name, value in self.speeds.items()}
        write_text(self._out / "speed.json", json.dumps({"machine": self._measured_on, "speeds": known}))
        self.write()


def run_ablation(job: AblationJob, say: Callable[[str], None]) -> AblationResult:
    """Run the ablation, or continue it.

    Args:
        job: what to compare.
        say: receives one line per step and one per run that ended.

    Raises:
        UsageError: settings that do not fit together, or runs of another experiment in ``out``.
        DiffBEVError: unusable data, or a folder that cannot be written.
    """
    deadline = time.monotonic() + job.deadline_s
    check_variants(job.variants)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "run `bench ablation` without torchrun: it starts its own training processes, --jobs "
            "per GPU in --gpu-ids."
        )
    with locked(make_writable_dir(job.out, "folder of the ablation")) as lock:
        trainings = _plan(job)
        _require_data(job, trainings, say)
        table = _Table(job.out, _circumstances(job, trainings), look_up(trainings))
        table.write()
        with stop_on_signals() as stop:
            work_off(
                table.entries,
                slots_of(job.gpu_ids, job.jobs),
                partial(start_training, lock=lock),
                stop=stop,
                deadline=deadline,
                ended=lambda entry: _after(entry, table, say),
            )
        exit_code = _exit_code(table.entries)
        if job.speed and exit_code is not ExitCode.INTERRUPTED:
            _measure_speeds(table, join_processes(job.gpu_ids[:1]), say)
        return AblationResult(*table.write(), exit_code)


def _plan(job: AblationJob) -> list[Training]:
    trainings = plan_trainings(
        job.config,
        job.out,
        variants=job.variants,
        seeds=job.seeds,
        overrides=job.overrides,
        data_root=job.data_root or job.out / "data",
    )
    for training in trainings:
        check_same_experiment(training)
    return trainings


def _require_data(job: AblationJob, trainings: list[Training], say: Callable[[str], None]) -> None:
    """Make the synthetic world, or make sure that the given data has the depth that is asked for."""
    settings = trainings[0].settings
    if job.data_root is None:
        size = settings.data.image_size
        world = SynthJob(
            job.out / "data",
            version="v1.0-trainval",
            scenes=scenes_for(job.frames),
            samples_per_scene=SAMPLES_PER_SCENE,
            image_size=size,
            workers=os.cpu_count() or 1,
        )
        make_data_root(world, size, say)
        return
    depth = job.data_root / "ann_bev_dir" / "train_depth"
    if any(training.settings.data.load_depth for training in trainings) and not depth.is_dir():
        height, width = settings.data.image_size
        raise UsageError(
            f"{depth} does not exist, so depth supervision would have no effect. Create it with "
            f"`diffbev-engine prepare-depth --height {height} --width {width}`."
        )


def _circumstances(job: AblationJob, trainings: list[Training]) -> Circumstances:
    settings = trainings[0].settings
    frames = [
        len(read_records(settings.data_root, split, settings.data.cameras)) for split in ("train", "val")
    ]
    return Circumstances(
        command=job.command,
        config=job.config,
        torch=torch.__version__,
        train_frames=frames[0],
        val_frames=frames[1],
        seeds=job.seeds,
        variants=job.variants,
        settings=settings,
    )


def _after(entry: Entry, table: _Table, say: Callable[[str], None]) -> None:
    table.write()
    done = sum(each.state is State.FINISHED for each in table.entries)
    where = f"({done} of {len(table.entries)} runs)"
    if entry.outcome:
        minutes = f"{entry.outcome.minutes:.1f} min"
        say(f"{entry.training.name}: mIoU {points(entry.outcome.miou, 2)}, {minutes} {where}")
    elif entry.state is State.STOPPED:
        say(f"{entry.training.name}: stopped; run the command again to resume it {where}")
    else:
        say(f"{entry.training.name}: failed, {entry.message} {where}")


def _measure_speeds(table: _Table, processes: Processes, say: Callable[[str], None]) -> None:
    """Time the networks that have a score, one alone on the device after the other."""
    table.forget_speeds_of_other_machines(f"{device_name(processes.device)}, torch {torch.__version__}")
    finished = {entry.training.variant: entry.training for entry in table.entries if entry.outcome}
    for variant, training in finished.items():
        if variant in table.speeds:
            continue
        speed = measure_speed(
            training.settings, processes, iterations=_SPEED_ITERATIONS, rounds=_SPEED_ROUNDS
        )
        table.add_speed(variant, speed)
        say(f"{variant}: {speed.training_ms:.1f} ms per training iteration")


def _exit_code(entries: list[Entry]) -> ExitCode:
    states = {entry.state for entry in entries}
    if State.FAILED in states:
        return ExitCode.FAILED
    return ExitCode.DONE if states == {State.FINISHED} else ExitCode.INTERRUPTED


def _read_speeds(out: Path) -> tuple[dict[str, Speed], str]:
    """Speeds that an earlier call measured, and on what."""
    path = out / "speed.json"
    if not path.exists():
        return {}, ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        speeds = {name: Speed.from_json(values) for name, values in content["speeds"].items()}
        return speeds, str(content["machine"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DiffBEVError(f"{path} is damaged ({error}). Delete it to measure again.") from error
