"""Two processes with half a batch each train like one with the whole batch, and end together."""

import csv
import os
import signal
import socket

import pytest
import torch

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.train.checkpoint import load_checkpoint
from tests.faults.lab import Process, wait_for
from tests.processes import PATIENCE_S, engine


@pytest.mark.slow
def test_two_gloo_processes_equal_one(tiny_config, tmp_path, program):
    common = (
        "--set",
        "data.photometric=False",
        "--set",
        "runner.max_iters=4",
        "--set",
        "log_config.interval=2",
    )
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    four = ("--set", "data.samples_per_gpu=4")
    code, output = program("train", tiny_config, "--work-dir", tmp_path / "one", *common, *four)
    assert code == 0, output
    two = engine("train", tiny_config, "--work-dir", tmp_path / "two", *common, launcher=launcher)
    assert two.wait(PATIENCE_S) == 0, two.stdout.read()

    rows = {name: list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("one", "two")}
    assert [row["step"] for row in rows["two"]] == [row["step"] for row in rows["one"]]
    for ours, theirs in zip(rows["one"], rows["two"], strict=True):
        for column in ("Lwce", "lr", "mIoU", "IoU/drivable_area"):
            assert ours[column] == theirs[column] == "" or float(theirs[column]) == pytest.approx(
                float(ours[column]), rel=1e-3
            )
    weights = {
        name: torch.load(tmp_path / name / "latest.pth", weights_only=True)["model"]
        for name in ("one", "two")
    }
    for name, tensor in weights["one"].items():
        if "running" not in name:  # batch norm sees its own half of the batch
            torch.testing.assert_close(weights["two"][name], tensor, rtol=2e-3, atol=2e-4)
    assert len(torch.load(tmp_path / "two" / "latest.pth", weights_only=True)["random"]) == 2


def test_several_gpus_need_torchrun(tiny_config, tmp_path, program):
    code, output = program("train", tiny_config, "--work-dir", tmp_path / "run", "--gpu-ids", "0,1")
    assert code == 2
    assert "torchrun --nproc-per-node 2" in output


@pytest.mark.slow(8)
def test_a_suspended_process_ends_the_run_on_all(tiny_config, tmp_path):
    """Without torchrun here, which would import torch once more; forked, torch would miss its threads."""
    folder = RunFolder(tmp_path / "run")
    endless = ("--set", "runner.max_iters=100000", "--set", "evaluation.interval=100000")
    options = ("--set", "dist_params.timeout=6", "--set", "checkpoint_config.interval=100000")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        Process(
            ("train", tiny_config, "--work-dir", folder.path, *endless, *options),
            tmp_path / f"{rank}.txt",
            environment=together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            launcher=(),
        )
        for rank in (0, 1)
    ]
    try:
        wait_for(lambda: " iter 3/" in ranks[0].console.read_text(), "train", 120, ranks[0])
        os.kill(ranks[1].pid, signal.SIGSTOP)
        assert ranks[0].ended(60) == 1
        assert ranks[1].ended(30) == -signal.SIGKILL
    finally:
        for rank in ranks:
            rank.end()
    report, said = inspect_run(folder.path), ranks[0].console.read_text()
    assert f"rank 0: rank 1 of 2 (pid {ranks[1].pid} on " in said
    assert "was suspended (SIGSTOP) for 3 s" in report.message
    saved = load_checkpoint(folder.latest, to_resume=True)
    assert f"Training stopped at iteration {saved.iteration}; {folder.latest} holds everything." in said
    assert saved.iteration >= 3
    assert (report.state.value, report.resumable, saved.random[1]) == ("failed", True, None)
