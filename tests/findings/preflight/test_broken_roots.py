"""A data root, a work dir or a machine that is broken in one way: exactly that is named."""

import json
import os
import resource
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import dump_config
from diffbev_engine.core.files import same_but_case
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.findings import preflight, storage
from diffbev_engine.findings.machine import shared_bytes
from diffbev_engine.findings.plan import Plan
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import take_lock
from diffbev_engine.train.train import TrainingJob, train


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data root that a test may break; each scene is whole in one split."""
    copy = shutil.copytree(tiny_root, tmp_path / "data" / "nuScenes")
    scenes = {"train": "scene-0001", "val": "scene-0002"}
    rows = [json.loads(line) for line in (copy / "index.jsonl").read_text().splitlines()]
    rows = [row | {"scene": scenes[row["split"]]} for row in rows]
    (copy / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return copy


@pytest.fixture
def settings(tiny_settings, root):
    return tiny_settings.model_copy(update={"data_root": root})


@pytest.fixture
def work_dir(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def look(settings, work_dir):
    """Findings of one check, as (level, English words, what to do)."""

    def look(check, **data):
        changed = settings.data.model_copy(update={k: v for k, v in data.items() if k != "data_root"})
        update = {"data": changed} | {k: v for k, v in data.items() if k == "data_root"}
        plan = Plan(settings.model_copy(update=update), "tiny.py", work_dir)
        findings = preflight._guarded(check, preflight.CHECKS[check], plan, set())
        return [(each.severity.value, each.title.en, each.advice.en) for each in findings]

    return look


def _levels(findings):
    return {level for level, _, _ in findings}


def _errors(findings):
    return [words for level, words, _ in findings if level == "error"]


@pytest.mark.parametrize("check", ["work_dir", "data_root", "pairing", "splits", "samples", "labels"])
def test_a_sound_training_raises_no_error(look, check):
    assert not _errors(look(check))


@pytest.mark.parametrize("wrong", ["data/nuscenes", "DATA/NUSCENES"])
def test_the_root_in_another_case_is_offered(look, root, tmp_path, wrong):
    ((level, _, todo),) = look("data_root", data_root=tmp_path / wrong)
    assert level == "error"
    assert f"--set data_root={root}" in todo
    assert same_but_case(tmp_path / wrong) == [root]


def test_checks_of_data_say_that_they_did_not_look(look, tmp_path):
    for check in ("pairing", "splits", "samples", "labels"):
        ((level, words, _),) = look(check, data_root=tmp_path / "nowhere")
        assert level == "warning"
        assert "skipped" in words


@pytest.mark.parametrize("count", [1, 4])
def test_missing_labels_are_counted_and_the_first_named(look, root, count):
    gone = sorted((root / "ann_bev_dir" / "train").iterdir())[:count]
    for path in gone:
        path.unlink()
    (words,) = _errors(look("pairing"))
    assert words.startswith(f"train: {count} images have no label: {gone[0].stem}")
    assert words.endswith("…") == (count > 3)


def test_missing_intrinsics_are_named(look, root):
    calibration = json.loads((root / "calib.json").read_text())
    token = sorted(calibration)[-1]
    del calibration[token]
    (root / "calib.json").write_text(json.dumps(calibration))
    assert _errors(look("pairing")) == [f"val: 1 images have no intrinsics: {token}"]


def test_labels_without_an_image_are_mentioned(look, root):
    image = sorted((root / "img_dir" / "val").iterdir())[0]
    image.unlink()
    findings = look("pairing")
    assert any(image.stem in words for level, words, _ in findings if level != "ok")


def test_missing_depth_stops_a_training_that_needs_it(look, root):
    assert _levels(look("depth")) == {"ok"}
    for split in ("train", "val"):
        (root / "ann_bev_dir" / f"{split}_depth").mkdir()
        for image in sorted((root / "img_dir" / split).iterdir())[2 * (split == "train") :]:
            (root / "ann_bev_dir" / f"{split}_depth" / f"{image.stem}.npz").touch()
    findings = look("depth", load_depth=True)
    (words,) = _errors(findings)
    assert words.startswith("train: 2 of 8 images have no depth")
    assert any("--height 64 --width 96" in todo for _, _, todo in findings)


def test_a_root_of_other_tools_needs_all_cameras(look, root):
    (root / "index.jsonl").unlink()
    assert any("the camera of each image is unknown" in words for words in _errors(look("pairing")))
    assert not _errors(look("pairing", cameras="all"))


def test_a_scene_in_both_splits_is_an_error(look, root):
    index = root / "index.jsonl"
    index.write_text(index.read_text().replace("scene-0002", "scene-0001"))
    assert _errors(look("splits")) == ["1 scenes are in train and in val: scene-0001"]


def test_an_image_in_both_splits_is_an_error(look, root):
    image = sorted((root / "img_dir" / "train").iterdir())[0]
    shutil.copy(image, root / "img_dir" / "val")
    assert _errors(look("splits")) == [f"1 tokens are in train and in val: {image.stem}"]


def test_damaged_files_of_the_sample_are_named(look, root):
    label = sorted((root / "ann_bev_dir" / "train").iterdir())[3]
    image = sorted((root / "img_dir" / "val").iterdir())[1]
    cv2.imwrite(str(label), np.zeros((196, 200), np.uint8))
    image.write_bytes(image.read_bytes()[:-200])
    assert any(label.name in words for words in _errors(look("labels")))
    assert any(image.name in words for words in _errors(look("samples")))


def test_labels_without_any_bit_are_named(look, root):
    for label in (root / "ann_bev_dir" / "val").iterdir():
        cv2.imwrite(str(label), np.zeros((196, 200), np.uint16))
    assert any("val: labels without any bit set" in words for words in _errors(look("labels")))


def test_a_training_that_holds_the_work_dir_is_named(look, work_dir):
    work_dir.mkdir()
    lock = take_lock(RunFolder(work_dir), ["diffbev-engine", "train"])
    try:
        (words,) = _errors(look("work_dir"))
    finally:
        lock.release()
    assert str(os.getpid()) in words


def test_an_earlier_run_is_mentioned(look, work_dir):
    work_dir.mkdir()
    (work_dir / "latest.pth").touch()
    ((level, _, todo),) = look("work_dir")
    assert level == "warning"
    assert "--resume" in todo


def test_a_file_in_place_of_the_work_dir_is_an_error(look, work_dir):
    work_dir.write_text("not a folder")
    assert _errors(look("work_dir"))


def test_the_size_of_checkpoints_is_that_of_real_ones(settings, work_dir):
    train(TrainingJob(settings, "tiny.py", work_dir), evaluation_in_training)
    size = (work_dir / "latest.pth").stat().st_size
    assert 0.75 * size < storage.checkpoint_bytes(Plan(settings, "tiny.py", work_dir)) <= size
    files = {path.stat().st_ino for path in work_dir.glob("*.pth")}
    assert len(files) <= settings.checkpoint_config.max_keep_ckpts + 2


@pytest.mark.parametrize(("share", "level"), [(0.9, "error"), (1.5, "warning"), (10.0, "ok")])
def test_disk_space_is_held_against_the_checkpoints(look, monkeypatch, share, level):
    monkeypatch.setattr(storage, "checkpoint_bytes", lambda _: 2**30)
    needed = 6 * 2**30  # two kept, latest, best, the next and one of the copies while they are written
    usage = shutil.disk_usage("/")._replace(free=int(share * needed))
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    assert _levels(look("disk")) == {level}


def test_too_few_open_files_are_an_error(look, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    ((level, _, todo),) = look("open_files", workers_per_gpu=8)
    assert level == "error"
    assert "ulimit -n 4096" in todo


def test_shared_memory_counts_what_the_loader_really_makes(settings, work_dir):
    from diffbev_engine.dataset.loader import _PREFETCHED_BATCHES, BEVDataset, evaluation_loader
    from diffbev_engine.dataset.records import read_records

    data = settings.data.model_copy(update={"workers_per_gpu": 1})
    records = read_records(settings.data_root, "train", "front")
    batch = next(evaluation_loader(BEVDataset(records, data), data.samples_per_gpu, 0))
    size = sum(each.nbytes for each in (batch.images, batch.intrinsics, batch.label, batch.known))
    counted = shared_bytes(Plan(settings.model_copy(update={"data": data}), "tiny.py", work_dir))
    assert counted / (2 * _PREFETCHED_BATCHES) == pytest.approx(size, rel=0.02)


def test_a_look_that_fails_does_not_stop_the_others(settings, work_dir, monkeypatch):
    def broken(_plan):
        raise ZeroDivisionError("no such figure")

    monkeypatch.setitem(preflight.CHECKS, "disk", broken)
    found = list(preflight.preflight(settings, "tiny.py", work_dir))
    assert {each.id for each in found} == set(preflight.CHECKS)
    (failed,) = [each for each in found if each.id == "disk"]
    assert failed.severity.value == "warning"
    assert "ZeroDivisionError: no such figure" in failed.title.en


def test_the_command_changes_nothing_and_its_exit_code_is_the_verdict(settings, root, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(dump_config(settings))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def preflight(*arguments):
        command = ["preflight", str(config), "--work-dir", str(tmp_path / "run"), "--json", *arguments]
        result = CliRunner().invoke(cli, command)
        return result.exit_code, json.loads(result.stdout)

    code, report = preflight()
    assert (code, report["ok"]) == (0, True), report
    code, report = preflight("--set", f"data_root={root.parent / 'nuscenes'}")
    assert (code, report["ok"]) == (1, False)
    assert [each["check"] for each in report["findings"] if each["level"] == "error"] == ["data_root"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
