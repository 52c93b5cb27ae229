"""The command as the runbook calls it: phrases, files, languages, exit codes."""

import json
import subprocess
import sys

import cv2
import pytest
import torch
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.workspace.init import init_workspace


@pytest.fixture
def invoke(config, checkpoint, tmp_path):
    def run(*arguments):
        fixed = ["--config", str(config), "--checkpoint", str(checkpoint()), "--device", "cpu"]
        return CliRunner().invoke(
            cli, ["diagnose", *fixed, "--out-dir", str(tmp_path / "out"), *arguments], catch_exceptions=False
        )

    return run


def test_summary_and_pictures(invoke, tmp_path):
    result = invoke("--num-samples", "3", "--vis-num", "2", "--seed", "42", "--lang", "en")
    assert result.exit_code == 0, result.output
    summary = (tmp_path / "out/summary.txt").read_text()
    assert summary in result.output
    for phrase in (
        "mIoU ",
        "overall acc ",
        "GT",
        "prior",
        "Pred",
        "drivable_area",
        "collapse",
        "verdict: healthy",
    ):
        assert phrase in summary
    assert "3 of 4 images" in summary
    pictures = sorted((tmp_path / "out/vis").iterdir())
    assert len(pictures) == 2
    assert all(cv2.imread(str(path)) is not None for path in pictures)


def test_chinese(invoke, tmp_path):
    result = invoke("--lang", "zh")
    assert "结论: 未发现异常" in result.output
    assert "结论: 未发现异常" in (tmp_path / "out/summary.txt").read_text()


def test_json_is_all_that_is_printed(invoke, tmp_path):
    result = invoke("--json")
    printed = json.loads(result.stdout)
    assert printed == json.loads((tmp_path / "out/summary.json").read_text())
    assert printed["verdict"] == "healthy"
    assert printed["findings"][0]["title"] == {"zh": "未发现异常", "en": "healthy"}
    counts = printed["predictions"]["counts"]["drivable_area"]
    assert counts["TP"] > 0
    assert printed["mIoU"] == printed["predictions"]["mIoU"]
    made = printed["provenance"]
    assert made["iteration"] == torch.load(made["checkpoint"], weights_only=True)["iteration"]
    assert printed["labels"]["bit_shares"][14] > printed["labels"]["bit_shares"][15] > 0


def test_broken_labels_are_a_finding_not_a_failure(invoke, rewrite):
    rewrite(lambda label: label & 0xFF)
    result = invoke("--lang", "en")
    assert result.exit_code == 0
    assert "verdict: labels truncated to 8 bits" in result.output


@pytest.mark.slow
def test_the_entry_point_writes_where_the_runbook_looks(root, config, checkpoint, tmp_path):
    workspace = tmp_path / "ws"
    init_workspace(workspace, root, demo=True)
    script = workspace / "tools/debug/diagnose_segmentation.py"
    command = [sys.executable, str(script), "--config", str(config), "--checkpoint", str(checkpoint())]
    done = subprocess.run(
        [*command, "--device", "cpu"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mIoU" in (workspace / "runs/diagnose/summary.txt").read_text()
