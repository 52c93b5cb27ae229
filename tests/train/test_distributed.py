"""Two processes with half a batch each train like one with the whole batch."""

import csv

import pytest
import torch

from tests.processes import engine


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
    assert two.wait(180) == 0, two.stdout.read()

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
