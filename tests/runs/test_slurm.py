"""Trainings under SLURM: the script, and on a real one the time limit, the queue and the weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.runs import slurm
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.slurm import Request, SlurmJob, batch_script, current_job, read_job, states_of
from tests.processes import wait_until
from tests.slurm import running, why_not


def test_the_script_is_one_that_bash_accepts_and_people_can_read(tmp_path):
    work_dir = tmp_path / 'a "run" of 100%'
    request = Request("x y.py", work_dir, ("a='b c'",), gpus=4, nodes=2, seeds=(3, 5), further=("--mem=1G",))
    text = batch_script(request)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    for line in ("--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--array=0-1", "--mem=1G"):
        assert f"#SBATCH {line}\n" in text
    assert '"run\\" of 100%%/slurm_%A_%a.log"' in text
    assert "seeds=(3 5)" in text
    assert "WORLD_SIZE=$SLURM_NTASKS" in text
    one = batch_script(Request("x", tmp_path, gpus=0))
    assert "gpus" not in one
    assert "RANK" not in one


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        *[("30", 1800), ("2:30", 150), ("1:00:00", 3600), ("1-0", 86400), ("1-2:3", 93780), ("0-0:0:9", 9)],
        *[("0", None), ("UNLIMITED", None), ("", None), ("soon", None)],
    ],
)
def test_time_limits_are_read_as_sbatch_reads_them(limit, seconds):
    assert slurm.seconds_of(limit) == seconds


def test_a_time_limit_within_which_no_training_would_begin_is_refused(tmp_path):
    for limit in ("3", "2:59"):
        with pytest.raises(UsageError, match="Ask for more than 3 minutes"):
            batch_script(Request("x", tmp_path, time_limit=limit))
    batch_script(Request("x", tmp_path, time_limit="4"))
    batch_script(Request("x", tmp_path, time_limit="3", further=("--signal=USR1@30",)))


def test_the_job_of_a_process_is_known_by_its_environment(tmp_path):
    assert current_job({}) is None
    assert current_job({"SLURM_JOB_ID": "7"}) == SlurmJob("7")
    array = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    assert current_job(array) == SlurmJob("7_1")
    folder = RunFolder(tmp_path)
    slurm.write_job(folder, SlurmJob("7"))
    assert read_job(folder) == SlurmJob("7")
    folder.slurm.write_text('{"job": "8_0", "submitted": 5.0}')  # of an earlier version
    assert read_job(folder) == SlurmJob("8_0")


def test_what_the_scheduler_says_reads_as_a_sentence():
    assert slurm.job_words("7", None).en == "SLURM job 7: no longer in the queue"
    waiting = slurm.job_words("7_1", slurm.JobState("pending", "Resources"))
    assert (waiting.en, waiting.zh) == (
        "SLURM job 7_1: pending (Resources)",
        "SLURM 作业 7_1：排队中（Resources）",
    )
    assert slurm.job_words("7", slurm.JobState("running")).zh == "SLURM 作业 7：运行中"


def test_a_machine_without_slurm_and_a_refused_job_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no sbatch on this machine"):
        slurm.submit(Request("x", tmp_path / "run"))
    assert states_of(["1"]) is None
    assert states_of([]) == {}
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    with pytest.raises(DiffBEVError, match=r"refuses the job: .*invalid partition specified: x\."):
        slurm.submit(Request("x", tmp_path / "run"))


def _weights(run: Path, iteration: int) -> dict[str, torch.Tensor]:
    model = torch.load(run / f"iter_{iteration}.pth", weights_only=True)["model"]
    assert isinstance(model, dict)
    return model  # of the last iteration


class _Cluster:
    def __init__(self, environment):
        self._environment = environment

    def run(self, *command):
        done = subprocess.run(
            list(map(str, command)), env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self, run):
        path = run / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": None, "step": 0}

    def wait(self, condition):
        wait_until(condition, seen=lambda: self.run("squeue", "-r"), every_s=0.2)


@pytest.fixture
def cluster(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with running(tmp_path / "slurm") as environment:
        yield _Cluster(environment)


@pytest.mark.slow(90)
def test_jobs_go_back_into_the_queue_until_they_are_finished_or_cancelled(
    cluster, tiny_config, tmp_path, program
):
    """One job meets its time limit; of an array of two seeds one is put back twice, the other never."""

    def submit(work_dir, iterations, *options):
        never = ("evaluation.interval=99999", "checkpoint_config.interval=99999")
        sets = [part for each in (f"runner.max_iters={iterations}", *never) for part in ("--set", each)]
        command = (
            sys.executable,
            "-m",
            "diffbev_engine",
            "slurm",
            tiny_config,
            "--gpus",
            0,
            "--cpus",
            1,
            *sets,
        )
        cluster.run(*command, "--work-dir", work_dir, *options, "--submit")
        return sets

    limited, runs = tmp_path / "limited", tmp_path / "an array"
    # Announced half a minute to one and a half minutes after the start: SLURM looks twice a minute.
    submit(limited, 100_000, "--time", 4, "--sbatch=--signal=USR1@180")
    sets = submit(runs, 120, "--seeds", "0,1")
    untouched, put_back = runs / "seed_0", runs / "seed_1"
    job = read_job(RunFolder(put_back)).job
    for step in (5, 20):
        cluster.wait(lambda step=step: cluster.status(put_back)["step"] >= step)
        cluster.run("scancel", "--signal=USR1", job)
        cluster.wait(lambda: cluster.status(put_back)["state"] == "interrupted")
        assert f"job {job} is back in the queue" in cluster.status(put_back)["message"]
    for run, starts in ((untouched, 1), (put_back, 3)):
        cluster.wait(lambda run=run: cluster.status(run)["state"] == "finished")
        assert len(list(run.glob("train_*.log"))) == starts

    cluster.wait(lambda: any(limited.glob("iter_*.pth")))
    resumed_from = max(int(path.stem[5:]) for path in limited.glob("iter_*.pth"))
    cluster.wait(lambda: cluster.status(limited)["step"] > resumed_from)
    assert len(list(limited.glob("train_*.log"))) >= 2
    # Between two legs it is being put back, or waits.
    running, command = f"SLURM job {read_job(RunFolder(limited)).job}: running", ("runs", "list", limited)
    cluster.wait(lambda: running in cluster.run(sys.executable, "-m", "diffbev_engine", *command))
    cluster.run("scancel", read_job(RunFolder(limited)).job)
    cluster.wait(lambda: cluster.status(limited)["state"] == "interrupted")
    cluster.wait(lambda: cluster.run("squeue", "-h") == "")

    code, said = program("train", tiny_config, "--work-dir", tmp_path / "alone", *sets, "--set", "seed=1")
    assert code == 0, said
    expected, found = _weights(tmp_path / "alone", 120), _weights(put_back, 120)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
