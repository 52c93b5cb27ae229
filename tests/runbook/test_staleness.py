"""What makes a result stale: changed settings and data, not text, names or the place of the workspace."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.runbook.files import fingerprints
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.staleness import earlier_fingerprint
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook, watched
from diffbev_engine.runbook.workspace_paths import WorkspacePaths, find_roots
from diffbev_engine.workspace.init import init_workspace

CONFIGS = {
    "baseline_smoke": "configs/baseline/lss_swin_nuscenes_smoke.py",
    "baseline": "configs/baseline/lss_swin_nuscenes.py",
    "diffbev_default": "configs/diffbev/diffbev_lss_swin_nuscenes.py",
}
BASE = "configs/_base_/schedules/schedule_200k.py"


@pytest.fixture
def finished(tmp_path: Path) -> WorkspacePaths:
    """A workspace in which every step has passed, with the files that the trainings leave."""
    data = tmp_path / "nuScenes"
    for directory in ("img_dir", "ann_bev_dir"):
        for split in ("train", "val"):
            (data / directory / split).mkdir(parents=True)
    for split in ("train", "val"):
        (data / f"ann_bev_dir/{split}_depth").mkdir()
        (data / f"ann_bev_dir/{split}_depth/a.npz").write_bytes(b"depth")
    (data / "index.jsonl").write_text('{"token": "a", "camera": "CAM_FRONT", "split": "train"}\n')
    (data / "calib.json").write_text("{}")
    init_workspace(tmp_path / "DiffBEV", data)
    roots = find_roots(tmp_path / "DiffBEV")
    smoke = roots.workspace / CONFIGS["baseline_smoke"]
    smoke.write_text("_base_ = ['lss_swin_nuscenes.py']\nrunner = dict(max_iters=300)\n")
    for name, config in CONFIGS.items():
        run = roots.workspace / "runs" / name
        run.mkdir(parents=True, exist_ok=True)
        settings = load_settings(roots.workspace / config).model_dump(mode="json")
        (run / "run.json").write_text(json.dumps({"config_path": config, "config": settings}))
        (run / "metrics.csv").write_text("step,mode\n300,train\n")
        for weights in ("latest.pth", "best_mIoU.pth"):
            (run / weights).write_bytes(name.encode())
        (run / "train_20260101_000000.log").write_text("done\n")
    for made in ("reports/comparison/plots", "runs/vis_comparison/vis"):
        (roots.workspace / made).mkdir(parents=True)
    (roots.workspace / "reports/comparison/plots/mIoU_comparison.png").write_bytes(b"plot")
    (roots.workspace / "reports/comparison/summary.md").write_text("summary")
    _all_passed(roots)
    return roots


def _all_passed(roots: WorkspacePaths, earlier: bool = False) -> None:
    runbook, store = load_runbook(roots), StateStore(roots)
    for number, step in enumerate(runbook.steps):
        patterns = watched(runbook, step)
        found = fingerprints(roots, patterns)
        if earlier:
            found |= {name: earlier_fingerprint(roots, name) for name in patterns if not name.endswith("/")}
            found["configs/_base_/**/*.py"] = "0123456789abcdef"
        record = StepRecord(
            StepState.PASSED,
            started=1000.0 + number,
            finished=1000.5 + number,
            command=roots.command(step.commands[0].run),
            inputs=found,
        )
        store.change(step.id, lambda _, record=record: record)


def _stale(roots: WorkspacePaths) -> dict[str, str]:
    view = view_runbook(load_runbook(roots), StateStore(roots).read(), roots)
    return {
        one.step.id: one.record.reason.en
        for one in view.steps
        if one.state is StepState.STALE and one.record.reason
    }


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_comments_spelling_and_names_of_files_make_nothing_stale(finished: WorkspacePaths):
    assert _stale(finished) == {}
    base = finished.workspace / BASE
    _edit(base, "lr=2e-4", "lr=0.0002,  # the rate")
    _edit(base, "200 * 1000", "200_000")
    base.rename(base.with_name("schedule_long.py"))
    for config in finished.workspace.glob("configs/*/*.py"):
        config.write_text(config.read_text().replace("schedule_200k.py", "schedule_long.py") + "\n# more\n")
    _edit(finished.workspace / "scripts/training/run_baseline_nuscenes.sh", "\n", "\n# a comment\n")
    assert _stale(finished) == {}


def test_a_changed_setting_is_named_with_both_values(finished: WorkspacePaths):
    _edit(finished.workspace / BASE, "lr=2e-4", "lr=1e-4")
    stale = _stale(finished)
    for step in ("2.4", "3.2", "4.2"):
        assert stale[step] == "optimizer.lr: 0.0002 → 0.0001"
    _edit(finished.workspace / BASE, "lr=1e-4", "lr=2e-4")
    assert _stale(finished) == {}


def test_the_other_model_keeps_its_training(finished: WorkspacePaths):
    config = finished.workspace / CONFIGS["diffbev_default"]
    config.write_text(
        config.read_text()
        + '\nmodel = dict(diffusion=dict(schedule="cosine", steps=4), lift=dict(channels=8))\n'
    )
    stale = _stale(finished)
    assert stale["4.2"] == (
        "model.lift.channels: 64 → 8, model.diffusion.schedule: linear → cosine, and 1 more settings"
    )
    assert not {"2.4", "3.2"} & set(stale)


def test_what_changes_no_result_makes_nothing_stale(finished: WorkspacePaths):
    for config in CONFIGS.values():
        path = finished.workspace / config
        path.write_text(path.read_text() + '\ndata_root = "/mnt/elsewhere"\ndata = dict(workers_per_gpu=1)\n')
    assert _stale(finished) == {}


def test_overrides_of_the_run_are_taken_into_account(finished: WorkspacePaths):
    path = finished.workspace / "runs/baseline/run.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["data"]["samples_per_gpu"] = 2
    path.write_text(json.dumps(manifest))
    assert _stale(finished)["3.2"] == "data.samples_per_gpu: 2 → 4"
    arguments = {"config": CONFIGS["baseline"], "overrides": ["data.samples_per_gpu=2"]}
    path.write_text(json.dumps({**manifest, "arguments": arguments}))
    assert "3.2" not in _stale(finished)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_workspace_elsewhere_stays_as_it_is(earlier: bool, finished: WorkspacePaths, tmp_path: Path):
    _all_passed(finished, earlier)
    assert _stale(finished) == {}
    elsewhere = tmp_path / "mnt"
    for root in (finished.workspace, finished.nuscenes_root):
        shutil.copytree(root, elsewhere / root.name, copy_function=shutil.copyfile)
    moved = replace(finished, workspace=elsewhere / "DiffBEV", nuscenes_root=elsewhere / "nuScenes")
    assert _stale(moved) == {}
    (moved.nuscenes_root / "index.jsonl").write_text("{}\n")
    assert _stale(moved)["2.4"].endswith("index.jsonl has changed since")


def test_records_of_an_earlier_version_still_notice_changes_in_place(finished: WorkspacePaths):
    _all_passed(finished, earlier=True)
    (finished.workspace / "reports/comparison/plots/lr_comparison.png").write_bytes(b"new")
    _edit(finished.workspace / BASE, "lr=2e-4", "lr=1e-4")
    stale = _stale(finished)
    assert "has changed since" in stale["5.3"]
    assert stale["3.2"] == "optimizer.lr: 0.0002 → 0.0001"


def test_changed_data_and_results_are_noticed(finished: WorkspacePaths):
    (finished.nuscenes_root / "ann_bev_dir/train_depth/b.npz").write_bytes(b"depth")
    (finished.workspace / "runs/baseline/best_mIoU.pth").write_bytes(b"other")
    (finished.workspace / CONFIGS["baseline_smoke"]).unlink()
    stale = _stale(finished)
    assert stale["4.2"].endswith("train_depth has changed since")
    assert stale["6.3"] == "runs/baseline/best_mIoU.pth has changed since"
    assert stale["2.4"] == f"{CONFIGS['baseline_smoke']} no longer exists"


def test_large_files_are_read_again_only_if_size_or_time_differ(finished: WorkspacePaths, monkeypatch):
    index = finished.nuscenes_root / "index.jsonl"
    index.write_bytes(b"x" * (3 << 20))
    _all_passed(finished)
    monkeypatch.setattr("diffbev_engine.runbook.files._large", lambda _: pytest.fail("read again"))
    assert _stale(finished) == {}
    monkeypatch.undo()
    index.touch()
    assert _stale(finished) == {}
    index.write_bytes(b"y" * (3 << 20))
    assert "2.4" in _stale(finished)


def test_looking_writes_nothing(finished: WorkspacePaths):
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in finished.workspace.rglob("*")}

    before = state()
    _stale(finished)
    assert state() == before
