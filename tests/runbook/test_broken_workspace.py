"""A campaign that was finished and then broken: ``runbook run --json`` names the right problem and remedy.

The workspace is one of ``init --demo``, its trainings replaced by the files that they leave.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from diffbev_engine.runbook.files import fingerprints
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook, watched
from diffbev_engine.runbook.workspace_paths import WorkspacePaths, find_roots
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.workspace.init import init_workspace
from tests.processes import PATIENCE_S, engine

RUNS = ("baseline_smoke", "baseline", "diffbev_default")


@pytest.fixture
def campaign(tmp_path) -> WorkspacePaths:
    """A workspace in which every step has passed."""
    data = tmp_path / "nuScenes"
    for folder in ("img_dir", "ann_bev_dir"):
        for split in ("train", "val"):
            (data / folder / split).mkdir(parents=True)
    for split in ("train", "val"):
        (data / f"ann_bev_dir/{split}_depth").mkdir()
        (data / f"ann_bev_dir/{split}_depth/a.npz").write_bytes(b"depth")
    (data / "index.jsonl").write_text('{"token": "a", "camera": "CAM_FRONT", "split": "train"}\n')
    (data / "calib.json").write_text("{}")
    init_workspace(tmp_path / "DiffBEV", data, demo=True)
    roots = find_roots(tmp_path / "DiffBEV")
    for name in RUNS:
        _trained(roots.workspace / "runs" / name)
    smoke = roots.workspace / "configs/baseline/lss_swin_nuscenes_smoke.py"
    smoke.write_text("runner = dict(type='IterBasedRunner', max_iters=300)\n")
    for made in ("reports/comparison/plots", "runs/vis_comparison/vis"):
        (roots.workspace / made).mkdir(parents=True)
    (roots.workspace / "reports/comparison/summary.md").write_text("summary")
    runbook, store = load_runbook(roots), StateStore(roots)
    for number, step in enumerate(runbook.steps):
        record = StepRecord(
            StepState.PASSED,
            started=1000.0 + number,
            finished=1000.5 + number,
            inputs=fingerprints(roots, watched(runbook, step)),
        )
        store.change(step.id, lambda _, record=record: record)
    return roots


def _trained(run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    writer = MetricsWriter(run / "metrics.csv")
    for step in range(100, 301, 100):
        losses = {"loss": 1.0, "Lwce": 0.1, "Ldepth": 0.1, "Ldiff": 0.4, "lr": 1e-3}
        writer.write({"step": step, "mode": "train", **losses})
    writer.write({"step": 300, "mode": "eval", "mIoU": 0.08})
    writer.close()
    for name in ("iter_300.pth", "latest.pth", "best_mIoU.pth"):
        (run / name).write_bytes(b"weights")
    (run / "train_20260101_000000.log").write_text("iter 300/300 loss 1.0\n")
    (run / "run.json").write_text(json.dumps({"config": {"runner": {"max_iters": 300}}}))
    (run / "status.json").write_text(json.dumps({"state": "finished", "step": 300, "max_iters": 300}))


def _run(roots: WorkspacePaths) -> tuple[int, dict[str, object]]:
    process = engine("runbook", "run", roots.workspace, "--json")
    output = process.communicate(timeout=PATIENCE_S)[0]
    return process.returncode, json.loads(output[output.index('{\n "workspace"') :])


def _lower_case(roots: WorkspacePaths) -> None:
    roots.nuscenes_root.rename(roots.nuscenes_root.with_name("nuscenes"))


def _no_depth(roots: WorkspacePaths) -> None:
    shutil.rmtree(roots.nuscenes_root / "ann_bev_dir/train_depth")


def _no_checkpoint(roots: WorkspacePaths) -> None:
    (roots.workspace / "runs/baseline/best_mIoU.pth").unlink()


def _no_metrics(roots: WorkspacePaths) -> None:
    (roots.workspace / "runs/diffbev_default/metrics.csv").unlink()


def _in_metrics(run: str, change):
    def apply(roots: WorkspacePaths) -> None:
        path = roots.workspace / "runs" / run / "metrics.csv"
        path.write_bytes(change(path.read_bytes()))

    return apply


BREAKS = {
    "lower-case root": (_lower_case, "1.1", "data-root-case", "ln -s "),
    "no depth": (_no_depth, "1.3", "depth-missing", "--step 4.0"),
    "no checkpoint": (_no_checkpoint, "3.4", "checkpoint-missing", "--step 3.2"),
    "no metrics.csv": (_no_metrics, "4.5", "4", ""),
    "metrics.csv without a row": (
        _in_metrics("diffbev_default", lambda old: old[: old.index(b"\n") + 1]),
        *("4.5", "4", ""),
    ),
    "metrics.csv overwritten": (
        _in_metrics("baseline", lambda _: b"\x00\x01garbage\nmore garbage\n"),
        *("3.5", "metrics-damaged", "--step 3.2"),
    ),
    "metrics.csv zeroed by a crash": (
        _in_metrics("diffbev_default", lambda old: bytes(len(old))),
        *("4.5", "metrics-damaged", "--step 4.2"),
    ),
    "metrics.csv cut short": (
        _in_metrics("diffbev_default", lambda old: b"".join(old.splitlines(keepends=True)[:3])),
        *("4.5", "metrics-damaged", "--step 4.2"),
    ),
    "metrics.csv of the smoke test": (
        _in_metrics("baseline_smoke", lambda _: b"junk\n"),
        *("2.5", "metrics-damaged", "--step 2.4"),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_campaign_names_problem_and_remedy(name, campaign):
    break_it, step, problem, command = BREAKS[name]
    assert view_runbook(load_runbook(campaign), StateStore(campaign).read(), campaign).next is None
    break_it(campaign)
    code, answer = _run(campaign)
    assert (code, answer["exit_code"]) == (1, 1)
    assert (answer["failed"], answer["problem"], answer["next"]) == (step, problem, step)
    finding = answer["findings"][0]
    assert finding["certainty"] == "shown"
    for text in (finding["title"], finding["explanation"], *finding["evidence"]):
        assert text["zh"]
        assert text["en"]
    assert any(command in (remedy["command"] or "") for remedy in finding["remedies"])
    assert all("TRAINING_STEP" not in (remedy["command"] or "") for remedy in finding["remedies"])


def test_the_remedy_for_another_case_mends_it(campaign):
    _lower_case(campaign)
    command = _run(campaign)[1]["findings"][0]["remedies"][0]["command"]
    subprocess.run(["bash", "-c", command], check=True)
    assert campaign.nuscenes_root.is_symlink()
    assert (campaign.nuscenes_root / "img_dir/train").is_dir()


def test_a_training_with_nothing_left_is_to_be_made_again(campaign):
    shutil.rmtree(campaign.workspace / "runs/diffbev_default")
    view = view_runbook(load_runbook(campaign), StateStore(campaign).read(), campaign)
    assert view["4.2"].state is StepState.STALE


def test_a_circumstance_is_not_given_as_the_cause(with_steps):
    roots = with_steps('[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "false"\n')
    process = engine("runbook", "run", roots.workspace, "--phase", "9", "--json")
    output = process.communicate(timeout=PATIENCE_S)[0]
    answer = json.loads(output[output.index('{\n "workspace"') :])
    assert (answer["failed"], answer["problem"]) == ("9.1", None)
    assert {finding["certainty"] for finding in answer["findings"]} <= {"circumstance"}
