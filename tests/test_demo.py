"""The first thing a stranger runs: the demo, from nothing to a picture."""

import re

import cv2
import pytest

from tests.processes import engine


@pytest.mark.slow
def test_the_demo_learns_and_leaves_everything(tmp_path):
    out = tmp_path / "demo"
    process = engine("demo", "--out", out)
    output = process.communicate(timeout=900)[0]
    assert process.returncode == 0, output

    match = re.search(r"mIoU on validation scenes: ([\d.]+) untrained, ([\d.]+) after training", output)
    assert match, output
    untrained, trained = map(float, match.groups())
    assert untrained == 0.0
    assert trained > 3.0
    picture = cv2.imread(str(out / "predictions.png"))
    assert picture is not None
    assert min(picture.shape[:2]) > 500
    run = out / "runs" / "baseline"
    assert {path.name for path in run.glob("*.pth")} >= {"iter_300.pth", "latest.pth", "best_mIoU.pth"}
    assert (run / "metrics.csv").read_text().splitlines()[-1].startswith("300,")
