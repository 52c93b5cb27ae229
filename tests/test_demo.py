"""The first thing a stranger runs: the demo, from nothing to the report of the whole runbook."""

import json
import re
from pathlib import Path

import cv2
import pytest

from tests.processes import engine
from tests.workspace.small import SMALL_BASELINE, SMALL_DIFFBEV


def _demo(out: Path, *options: str) -> tuple[str, int]:
    process = engine("demo", "--out", out, "--lang", "en", *options)
    output = process.communicate(timeout=900)[0]
    return output, process.returncode


@pytest.mark.slow(220)
def test_the_demo_stops_where_it_must_goes_on_there_and_ends_with_its_report(tmp_path):
    workspace = tmp_path / "demo" / "DiffBEV"
    output, code = _demo(tmp_path / "demo", "--setup-only")
    assert code == 0, output
    with (workspace / "configs/_base_/demo.py").open("a") as file:
        file.write(SMALL_BASELINE)
    diffbev = workspace / "configs/diffbev/diffbev_lss_swin_nuscenes.py"
    right = diffbev.read_text() + SMALL_DIFFBEV
    diffbev.write_text(right + "no_such_key = 1\n")

    output, code = _demo(tmp_path / "demo")
    assert code == 1, output
    assert "the demo stopped at step 4.0" in output

    diffbev.write_text(right)
    output, code = _demo(tmp_path / "demo")
    assert code == 0, output
    assert "3.2" not in re.findall(r"^\[\d+/\d+\] (\S+)", output, re.MULTILINE), (
        "the baseline was trained again"
    )
    _leaves_everything(output, workspace)


def _leaves_everything(output: str, workspace: Path) -> None:
    scores = re.search(r"mIoU on the validation scene: baseline ([\d.]+), DiffBEV ([\d.]+)", output)
    assert scores, output
    report = re.search(r"the report of it all: (\S+)$", output.strip())
    assert report
    assert Path(report[1]).read_text(encoding="utf-8").count("<img") >= 7
    picture = cv2.imread(str(workspace / "runs/vis_comparison/vis/sample_0000.png"))
    assert picture is not None
    state = json.loads((workspace / ".diffbev" / "runbook_state.json").read_text())
    states = {name: record["state"] for name, record in state["steps"].items()}
    assert set(states.values()) <= {"passed", "skipped"}, states
    for run in ("baseline", "diffbev_default"):
        assert (workspace / "runs" / run / "best_mIoU.pth").exists()
