import os
import time
from itertools import product

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_tui.classes.diagnose_start import plan_diagnosis
from diffbev_tui.classes.diagnosis import find_diagnosis
from diffbev_tui.classes.sample_view import caption_of
from diffbev_tui.classes.samples import find_samples, read_sample
from diffbev_tui.widgets.image_cache import CELL_RATIO, GAP, arrange
from tests.tui.classes.class_files import write_diagnosis, write_evaluated_run, write_sample


def test_a_diagnosis_of_the_run_itself_comes_before_a_newer_one_of_another(workspace):
    mine = write_evaluated_run(workspace, "mine", [(200, 0.2)])
    other = write_evaluated_run(workspace, "other", [(200, 0.2)])
    runs = [mine, other]
    assert find_diagnosis(workspace, runs, mine) is None
    newer = write_diagnosis(workspace / "runs/diagnose", other / "best_mIoU.pth", iteration=200)
    assert find_diagnosis(workspace, runs, mine).path == newer
    own = write_diagnosis(mine / "diagnose", mine / "best_mIoU.pth", iteration=200, age_s=60)
    assert find_diagnosis(workspace, runs, mine).path == own
    assert find_diagnosis(workspace, runs, other).path == newer


def test_a_checkpoint_is_found_relative_to_the_workspace_and_seen_to_be_overwritten(workspace):
    run = write_evaluated_run(workspace, "mine", [(200, 0.2)])
    write_diagnosis(run / "diagnose", "runs/mine/best_mIoU.pth", iteration=None)
    os.utime(run / "best_mIoU.pth", (time.time() - 60,) * 2)
    found = find_diagnosis(workspace, [run], run)
    assert (found.run, found.overwritten) == (run, False)
    os.utime(run / "best_mIoU.pth", (time.time() + 60,) * 2)
    assert find_diagnosis(workspace, [run], run).overwritten


@pytest.mark.parametrize("text", ["", "{", "[]", '{"verdict": "healthy"}', '{"verdict": 1, "findings": [1]}'])
def test_a_damaged_summary_is_none(text, workspace):
    run = write_evaluated_run(workspace, "mine", [(200, 0.2)])
    (run / "diagnose").mkdir()
    (run / "diagnose/summary.json").write_text(text)
    assert find_diagnosis(workspace, [run], run) is None


def test_samples_of_the_run_come_first_the_worst_before_the_better(workspace):
    run, other = workspace / "runs/mine", workspace / "runs/other"
    vis = workspace / "runs/vis_comparison/vis"
    write_sample(vis / "sample_0000.png", other / "best_mIoU.pth", 0.01)
    write_sample(vis / "sample_0001.png", run / "best_mIoU.pth", 0.5)
    write_sample(vis / "sample_0002.png", run / "iter_100.pth", 0.2)
    write_sample(vis / "sample_0003.png", run / "iter_100.pth", None)
    write_sample(vis / "sample_0004.png", None)
    (vis / "sample_0005.png").write_bytes(b"no picture")
    found = find_samples(workspace, run)
    assert [sample.path.name[-5] for sample in found] == ["2", "1", "3", "0", "4"]
    assert [part.kind for part in found[0].parts] == ["camera", "truth", "prediction"]
    assert [part.kind for part in found[-1].parts] == ["whole"]


def test_a_picture_is_read_again_when_it_was_drawn_again(workspace):
    path = write_sample(workspace / "runs/vis/sample_0000.png", workspace / "runs/a/best.pth", 0.5)
    assert read_sample(path).predictions[0].miou == 0.5
    write_sample(path, workspace / "runs/a/best.pth", 0.25)
    os.utime(path, (time.time() + 5,) * 2)
    assert read_sample(path).predictions[0].miou == 0.25


def test_the_spread_over_samples_is_a_part_of_its_own(workspace):
    box = [0.1, 0.2, 0.3, 0.4]
    path = workspace / "runs/vis/sample_0000.png"
    write_sample(path, workspace / "runs/a/best.pth", 0.5, samples=8, spread_box=box)
    *_, spread = read_sample(path).parts
    assert (spread.kind, spread.box) == ("spread", tuple(box))
    assert caption_of(spread).plain == "DiffBEV\nspread of 8 samples"


def test_pictures_fit_in_their_shape():
    shapes = [(1.78, 1.02), (1.78, 1.02, 1.02, 1.02), (4.9,)]
    for ratios, columns, rows in product(shapes, (1, 20, 78, 136, 300), (1, 5, 17, 40)):
        _fit(ratios, columns, rows)


def _fit(ratios: tuple[float, ...], columns: int, rows: int) -> None:
    places = arrange(ratios, columns, rows, caption=2)
    assert len(places) == len(ratios)
    lines = {}
    for ratio, place in zip(ratios, places, strict=True):
        lines.setdefault(place.row, []).append(place)
        if place.columns > 4 and place.rows > 1:
            assert place.columns == pytest.approx(ratio * place.rows * CELL_RATIO, abs=1)
    for line in lines.values():
        if columns >= 20:
            assert sum(place.columns for place in line) + GAP * (len(line) - 1) <= columns
    if rows >= 5:
        assert sum(line[0].rows + 2 for line in lines.values()) <= max(rows, 3 * len(lines))


def test_diagnose_runs_with_the_settings_of_the_training(workspace):
    run = write_evaluated_run(workspace, "mine", [(200, 0.2)], config="configs/x.py")
    plan = plan_diagnosis(run, on_cpu=False)
    words = list(plan.arguments)
    assert words[:5] == ["diagnose", "--config", "configs/x.py", "--checkpoint", str(run / "best_mIoU.pth")]
    assert words[words.index("--set") + 1] == "data.samples_per_gpu=1"
    assert words[words.index("--output-dir") + 1] == str(run / "diagnose")
    assert plan.cwd == workspace
    assert "--device" not in words
    assert plan_diagnosis(run, on_cpu=True).arguments[-4:] == (
        "--device", "cpu", "--set", "data.samples_per_gpu=1",
    )  # fmt: skip


def test_a_run_that_cannot_be_diagnosed_says_why(workspace):
    run = write_evaluated_run(workspace, "mine", [(200, 0.2)])
    (run / "run.json").write_text("{}")
    with pytest.raises(DiffBEVError, match="does not say with which configuration"):
        plan_diagnosis(run, on_cpu=False)
    (run / "best_mIoU.pth").unlink()
    with pytest.raises(DiffBEVError, match="no checkpoint yet"):
        plan_diagnosis(run, on_cpu=False)
