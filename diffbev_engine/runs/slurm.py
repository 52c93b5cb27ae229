"""Trainings as SLURM jobs: the batch script, its submission, and what the scheduler says of a job.

The script starts one process for each GPU with ``srun`` and leaves the rest to the training: two minutes
before the time limit SLURM sends SIGUSR1, upon which ``train --requeue`` saves, puts the job back into the
queue and exits with code 5; the next start resumes.  Usage errors, lack of GPU memory and divergence
(codes 2, 3, 4) are never tried again.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import decode_file
from diffbev_engine.runs.folder import RunFolder

ANNOUNCED_S = 120
"""Seconds before the time limit at which SLURM sends SIGUSR1."""
SHORTEST_S = ANNOUNCED_S + 60
"""A time limit up to this leaves no time to train: the end is announced as soon as the job begins."""
_ANSWERS_WITHIN_S = 10.0
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_LONGEST_REASON = 300
_STATES_ZH = {"pending": "排队中", "running": "运行中", "completing": "正在结束", "requeued": "已重新排队"}
_WHAT_HAPPENS = "Before the time limit it saves, goes back into the queue, and later resumes."


@dataclass(frozen=True)
class Request:
    """What is asked of the scheduler for one training, or for one with each of several seeds."""

    config: str
    work_dir: Path
    overrides: tuple[str, ...] = ()
    gpus: int = 1
    """On each host; 0: one process on the CPU."""
    nodes: int = 1
    cpus: int = 5
    """For each process."""
    time_limit: str = ""
    """As sbatch takes it; empty: the partition's own."""
    seeds: tuple[int, ...] = ()
    """An array of jobs, each in ``work_dir/seed_N``; empty: one job."""
    further: tuple[str, ...] = ()
    """Further options of sbatch, such as ``--partition=gpu``."""


@dataclass(frozen=True)
class SlurmJob:
    """``slurm.json`` in a run directory: the job that trains there."""

    job: str
    """Its number, with ``_INDEX`` in an array."""


@dataclass(frozen=True)
class JobState:
    """What the scheduler says of a job that it has."""

    word: str
    """Such as ``pending``."""
    reason: str = ""
    """Why it is not running, such as ``Resources``."""


def seconds_of(time_limit: str) -> int | None:
    """Seconds of a time limit (M, M:S, H:M:S, D-H, D-H:M or D-H:M:S); ``None``: unlimited, or no such."""
    found = _LIMIT.fullmatch(time_limit.strip())
    if found is None:
        return None
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is None and len(numbers) < 3:
        numbers = [0, *numbers]  # no hours
    hours, minutes, seconds = (*numbers, 0, 0)[:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds or None


def batch_script(request: Request) -> str:
    """The script that ``sbatch`` takes, which people may edit.

    Raises:
        UsageError: within the time limit no training would begin.
    """
    limit = seconds_of(request.time_limit)
    announces_itself = any(option.startswith("--signal") for option in request.further)
    if limit is not None and limit <= SHORTEST_S and not announces_itself:
        raise UsageError(
            f"--time {request.time_limit}: SLURM announces the end {ANNOUNCED_S // 60} minutes before, so "
            f"that training would never begin. Ask for more than {SHORTEST_S // 60} minutes."
        )
    directory = request.work_dir.absolute()
    tasks = max(1, request.gpus)
    log = "slurm_%A_%a.log" if request.seeds else "slurm_%j.log"
    options = [
        f"--job-name={_word(directory.name)}",
        f"--output={_quoted(str(directory).replace('%', '%%') + '/' + log)}",
        "--open-mode=append",  # a job that was put back into the queue continues its log
        "--requeue",
        f"--signal=USR1@{ANNOUNCED_S}",
        f"--nodes={request.nodes}",
        f"--ntasks-per-node={tasks}",
        f"--cpus-per-task={request.cpus}",
        *([f"--gpus-per-node={request.gpus}"] if request.gpus else []),
        *([f"--time={request.time_limit}"] if request.time_limit else []),
        *([f"--array=0-{len(request.seeds) - 1}"] if request.seeds else []),
        *request.further,
    ]
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), ""]
    lines += [f"cd {shlex.quote(str(Path.cwd()))}", f"work_dir={shlex.quote(str(directory))}"]
    command = [sys.executable, "-m", "diffbev_engine", "train", request.config]
    words = [shlex.join(command), '--work-dir "$work_dir"']
    words += [f"--set {shlex.quote(override)}" for override in request.overrides]
    if request.seeds:
        lines += [f"seeds=({' '.join(map(str, request.seeds))})", "seed=${seeds[$SLURM_ARRAY_TASK_ID]}"]
        lines += ['work_dir="$work_dir/seed_$seed"']
        words += ['--set "seed=$seed"']
    lines += ["", *_srun([*words, "--requeue"], several=tasks * request.nodes > 1)]
    return "\n".join(lines) + "\n"


def _srun(words: Sequence[str], *, several: bool) -> list[str]:
    """The lines that start the processes; ``--requeue`` resumes where there is something to resume."""
    command = " \\\n  ".join(words)
    if not several:
        return [f"# {_WHAT_HAPPENS}", f"exec srun {command}"]
    ranks = "RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS"
    return [
        "# Where the processes of one training meet.",
        'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        "export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))",
        "",
        f"# {_WHAT_HAPPENS}",
        "# The processes notice the loss of one themselves, and save: SLURM must not kill the others first.",
        f"exec srun --kill-on-bad-exit=0 bash -c '{ranks} exec \"$@\"' - {command}",
    ]


def submit(request: Request) -> str:
    """Write ``slurm.sh`` into the work dir and submit it; the number of the job.

    Raises:
        UsageError: there is no sbatch here.
        DiffBEVError: the scheduler refuses, or the work dir cannot be written.
    """
    folder = make_writable_dir(request.work_dir, "work dir")
    script = folder / "slurm.sh"
    write_text(script, batch_script(request))
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", str(script)], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError as error:
        raise UsageError(f"there is no sbatch on this machine. Submit {script} where SLURM is.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiffBEVError(f"sbatch does not answer: {error}. {script} is written.") from error
    if done.returncode != 0:
        raise DiffBEVError(f"SLURM refuses the job: {_short(done.stderr)}. {script} is written.")
    job = done.stdout.strip().partition(";")[0]
    if not request.seeds:
        write_job(RunFolder(folder), SlurmJob(job))
    for index, seed in enumerate(request.seeds):
        own = make_writable_dir(folder / f"seed_{seed}", "work dir")
        write_job(RunFolder(own), SlurmJob(f"{job}_{index}"))
    return job


def current_job(environment: Mapping[str, str] = os.environ) -> SlurmJob | None:
    """The job that this process is part of; ``None`` outside of SLURM."""
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{index}" if array and index else environment.get("SLURM_JOB_ID")
    return SlurmJob(job) if job else None


def write_job(folder: RunFolder, job: SlurmJob) -> None:
    """Record which job trains in ``folder``."""
    write_text(folder.slurm, json.dumps(asdict(job)) + "\n")


def read_job(folder: RunFolder) -> SlurmJob | None:
    """The job that trains, or trained, in ``folder``."""
    return decode_file(folder.slurm, SlurmJob).value


def job_name(job: str) -> Bilingual:
    """What people call it."""
    return Bilingual(f"SLURM 作业 {plain(job)}", f"SLURM job {plain(job)}")


def job_words(job: str, state: JobState | None) -> Bilingual:
    """One line about a job; ``state`` as of ``states_of``, ``None`` where the scheduler has it no longer."""
    name = job_name(job)
    if state is None:
        return Bilingual(f"{name.zh}：已不在队列中", f"{name.en}: no longer in the queue")
    zh, en = (f"（{state.reason}）", f" ({state.reason})") if state.reason else ("", "")
    word = _STATES_ZH.get(state.word, state.word)
    return Bilingual(f"{name.zh}：{word}{zh}", f"{name.en}: {state.word}{en}")


def states_of(jobs: Iterable[str], *, within_s: float = _ANSWERS_WITHIN_S) -> dict[str, JobState] | None:
    """What the scheduler says of those jobs that it still has.

    ``None`` where it does not answer within ``within_s`` seconds, or where there is none.
    """
    wanted = set(jobs)
    if not wanted:
        return {}
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", "--me"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=within_s, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    found = {}
    for line in done.stdout.splitlines():
        job, _, rest = line.partition("|")
        state, _, reason = rest.partition("|")
        if job in wanted:
            word = plain(state).lower().replace("_", " ")
            found[job] = JobState(word, "" if reason == "None" else plain(reason))
    return found


def _word(name: str) -> str:
    """A directory's name as a job's, in which blanks would end an option."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name) or "diffbev"


def _quoted(text: str) -> str:
    """As sbatch takes apart the options of a script."""
    plain_word = all(letter.isalnum() or letter in "/._-%" for letter in text)
    return text if plain_word else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _short(text: str) -> str:
    return plain(" ".join(text.split()), longest=_LONGEST_REASON).removesuffix(".")
