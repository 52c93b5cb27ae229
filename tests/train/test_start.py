"""A start that never trained moves nothing, and a resume never starts over where there was a run."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.manifest import TrainingData
from diffbev_engine.train.resume import find_start
from diffbev_engine.train.train import TrainingJob, train


@pytest.fixture(scope="module")
def finished(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four iterations."""
    work_dir = tmp_path_factory.mktemp("finished")
    all_kept = _changed(tiny_settings, "checkpoint_config", max_keep_ckpts=9)
    _train(_changed(all_kept, "runner", max_iters=4), work_dir)
    return work_dir


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


def _train(settings: Settings, work_dir: Path, **job: object) -> None:
    train(TrainingJob(settings, "tiny.py", work_dir, **job), evaluation_in_training)


def _changed(settings: Settings, part: str, **values: object) -> Settings:
    return settings.model_copy(update={part: getattr(settings, part).model_copy(update=values)})


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _log(work_dir: Path) -> str:
    return sorted(work_dir.glob("train_*.log"))[-1].read_text()


def test_a_start_that_fails_while_building_leaves_the_earlier_run_as_it_was(run, tiny_settings, tmp_path):
    before = _contents(run)
    backbone = tiny_settings.model.backbone
    typo = _changed(tiny_settings, "model", backbone=backbone.model_copy(update={"name": "resnet10x"}))
    with pytest.raises(UsageError, match="resnet10x"):
        _train(typo, run)
    assert _contents(run) == before
    missing = backbone.model_copy(update={"pretrained": str(tmp_path / "none.pth")})
    with pytest.raises(DiffBEVError) as caught:
        _train(_changed(tiny_settings, "model", backbone=missing), run)

    after = _contents(run)
    assert {path: after[path] for path in before} == before
    assert inspect_run(run).failed_start
    record = json.loads((run / "failed_start.json").read_text())
    assert record["message"] == str(caught.value)
    assert record["exit_code"] == caught.value.exit_code
    assert str(caught.value) in (run / record["log"]).read_text()

    _train(_changed(tiny_settings, "runner", max_iters=5), run, resume=True)
    assert not (run / "failed_start.json").exists()
    assert not list(run.glob("previous_*"))
    with (run / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["mode"] == "train"] == list("12345")


def test_a_first_start_that_fails_is_a_failed_run(tiny_settings, tmp_path):
    backbone = tiny_settings.model.backbone.model_copy(update={"pretrained": str(tmp_path / "none.pth")})
    with pytest.raises(DiffBEVError) as caught:
        _train(_changed(tiny_settings, "model", backbone=backbone), tmp_path)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", str(caught.value))


def test_a_resume_that_finds_only_earlier_runs_names_the_newest_checkpoint(run, tiny_settings):
    aside = run / "previous_20260301_101500"
    aside.mkdir()
    for path in list(run.iterdir()):
        if path != aside:
            path.rename(aside / path.name)
    before = _contents(run)

    with pytest.raises(UsageError) as caught:
        _train(tiny_settings, run, resume=True)

    assert f"tiny.py --work-dir {run} --resume {aside / 'latest.pth'}" in str(caught.value)
    assert "iteration 4" in str(caught.value)
    assert _contents(run) == before
    _train(_changed(tiny_settings, "runner", max_iters=5), run, resume=True, resume_from=aside / "latest.pth")
    assert (run / "iter_5.pth").exists()


def test_a_resume_without_a_checkpoint_does_not_drop_the_metrics_of_a_run(run, tiny_settings):
    for path in run.glob("*.pth"):
        path.unlink()
    before = _contents(run)
    with pytest.raises(UsageError, match="metrics of an earlier run, but none"):
        _train(tiny_settings, run, resume=True)
    assert _contents(run) == before


def test_a_resume_in_a_new_directory_begins_at_iteration_0(tiny_settings, tmp_path):
    _train(_changed(tiny_settings, "runner", max_iters=1), tmp_path, resume=True)
    assert "nothing to resume" in _log(tmp_path)
    assert (tmp_path / "iter_1.pth").exists()


def test_damaged_checkpoints_are_passed_over_and_nothing_is_moved(run, tiny_settings):
    for name in ("latest.pth", "iter_4.pth"):
        (run / name).write_bytes((run / name).read_bytes()[:-500])
    _train(tiny_settings, run, resume=True)
    assert "latest.pth is truncated; iter_4.pth is truncated; resuming from iter_3.pth" in _log(run)
    assert "resuming after iteration 3" in _log(run)
    assert not list(run.glob("previous_*"))
    assert json.loads((run / "run.json").read_text())["resumed_from"] == str(run / "iter_3.pth")


def test_with_damaged_checkpoints_only_nothing_is_changed(run, tiny_settings):
    for path in run.glob("*.pth"):
        path.write_bytes(b"")
    before = _contents(run)
    with pytest.raises(
        DiffBEVError, match=r"no usable checkpoint in .*: latest\.pth cannot be read .* it is empty"
    ):
        _train(tiny_settings, run, resume=True)
    assert _contents(run) == before


def test_a_checkpoint_beyond_the_end_is_refused(run, tiny_settings):
    with pytest.raises(
        UsageError, match=r"checkpoint is at iteration 4, runner.max_iters is 3; nothing to train"
    ):
        _train(_changed(tiny_settings, "runner", max_iters=3), run, resume=True)


def test_a_checkpoint_at_the_end_is_finished_and_a_due_evaluation_made_up_for(run, tiny_settings):
    four = _changed(tiny_settings, "runner", max_iters=4)
    _train(four, run, resume=True)
    assert "already finished" in _log(run)
    for path in run.glob("*.pth"):
        torch.save(torch.load(path, weights_only=True) | {"evaluated": False}, path)
    (run / "metrics.csv").write_text(
        "".join(line for line in (run / "metrics.csv").open() if not line.startswith("4,eval"))
    )
    _train(four, run, resume=True)
    with (run / "metrics.csv").open() as file:
        assert [row["mode"] for row in csv.DictReader(file) if row["step"] == "4"] == ["train", "eval"]


def test_changed_settings_are_named_and_those_that_change_the_data_order_apart(run, tiny_settings):
    changed = _changed(
        _changed(tiny_settings, "optimizer", lr=1e-4, weight_decay=0.05), "data", samples_per_gpu=4
    )
    changed = _changed(changed, "log_config", interval=2).model_copy(update={"seed": 7, "precision": "bf16"})
    _train(changed, run, resume=True)
    said = [
        line.split("was written: ")[1] for line in _log(run).splitlines() if "checkpoint was written" in line
    ]
    assert sorted(said) == [
        *("data.samples_per_gpu: 2 → 4", "optimizer.lr: 0.0002 → 0.0001"),
        *("optimizer.weight_decay: 0.01 → 0.05", "precision: fp32 → bf16"),
        *("runner.max_iters: 4 → 6", "seed: 0 → 7"),
    ]
    assert "another order" in _log(run)
    groups = torch.load(run / "latest.pth", weights_only=True)["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]


def test_other_images_are_refused_and_a_moved_data_root_is_not(run, tiny_settings, tmp_path):
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["data"]["images"] > 0
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_settings.data_root)
    job = TrainingJob(tiny_settings.model_copy(update={"data_root": moved}), "tiny.py", run, resume=True)
    same = TrainingData(**manifest["data"])
    assert not [note for note in find_start(job, RunFolder(run), 1, same).notes if "data_root" in note]
    other = replace(same, images=same.images + 1)
    with pytest.raises(UsageError, match=r"not those that this run was trained on.*Nothing was changed"):
        find_start(job, RunFolder(run), 1, other)
    notes = find_start(replace(job, anyway=True), RunFolder(run), 1, other).notes
    assert any("data_root" in note for note in notes)


def test_other_versions_are_named(run, tiny_settings):
    manifest = json.loads((run / "run.json").read_text())
    manifest["versions"] |= {"torch": "1.13.0", "unknown": "1"}
    (run / "run.json").write_text(json.dumps(manifest))
    job = TrainingJob(tiny_settings, "tiny.py", run, resume=True)
    assert [note for note in find_start(job, RunFolder(run), 1).notes if "torch 1.13.0 →" in note]


def test_precision_can_change_to_and_from_a_loss_scaler(run, tiny_settings):
    fp16 = tiny_settings.model_copy(update={"precision": "fp16"})
    _train(_changed(fp16, "runner", max_iters=5), run, resume=True)
    _train(_changed(tiny_settings, "runner", max_iters=6), run, resume=True)
    assert "precision: fp16 → fp32" in _log(run)


def test_resuming_an_older_checkpoint_leaves_the_later_ones_behind(run, tiny_settings):
    three = _changed(tiny_settings, "runner", max_iters=3)
    _train(three, run, resume=True, resume_from=run / "iter_2.pth")
    names = {path.name for path in run.glob("iter_*")}
    assert names == {"iter_2.pth", "iter_3.pth", "iter_3.superseded.pth", "iter_4.superseded.pth"}
    _train(tiny_settings, run, resume=True)
    assert "resuming after iteration 3" in _log(run)


def test_directories_in_the_place_of_files_are_set_aside(run, tiny_settings):
    names = ("latest.pth", "status.json", "best_mIoU.pth", "iter_3.pth")
    for name in names:
        (run / name).unlink()
        (run / name).mkdir()
    _train(_changed(tiny_settings, "runner", max_iters=5), run, resume=True)
    assert all((run / name).is_file() for name in names[:2])
    assert {path.name.partition(".directory_")[0] for path in run.glob("*.directory_*")} == set(names)
    assert inspect_run(run).state.value == "finished"


def test_remnants_of_killed_writes_are_removed(run, tiny_settings):
    ours = [f".{name}.0123abcd.tmp" for name in ("iter_4.pth", "latest.pth", "metrics.csv", "status.json")]
    others = [".notes.txt.0123abcd.tmp", ".iter_4.pth.tmp", "memory.json", ".launch.json.0123abcd.tmp"]
    for name in (*ours, *others):
        (run / name).write_bytes(b"x" * 2048)
    (run / "sub").mkdir()
    (run / "sub" / ours[0]).touch()
    _train(_changed(tiny_settings, "runner", max_iters=5), run, resume=True)
    assert not [name for name in ours if (run / name).exists()]
    assert all((run / name).exists() for name in others)
    assert (run / "sub" / ours[0]).exists()
    assert "removed 4 incomplete files" in _log(run)
