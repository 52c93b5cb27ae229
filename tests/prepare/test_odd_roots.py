"""nuScenes roots as users have them: each is refused by name, or treated as what it is."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.core.cameras import standard_cameras
from diffbev_engine.core.classes import OBJECT_CLASSES
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import load_sample
from diffbev_engine.nuscenes.maps import load_map
from diffbev_engine.nuscenes.split_scenes import OFFICIAL_SCENES
from diffbev_engine.prepare import images
from diffbev_engine.prepare.data_root import DataRoot
from diffbev_engine.prepare.missing import archive_of, describe_missing
from diffbev_engine.prepare.pipeline import PrepareJob, prepare

SPLIT = "scene-0001=train,scene-0002=val"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 140\n"


@pytest.fixture
def job(whole_nuscenes: Path, tmp_path: Path) -> PrepareJob:
    return PrepareJob(whole_nuscenes, output_dir=tmp_path / "data", split=SPLIT, cameras=None, workers=1)


def root_of(job: PrepareJob) -> DataRoot:
    assert job.output_dir is not None
    return DataRoot(job.output_dir)


def edit(job: PrepareJob, table: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = job.nuscenes_root / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(change(rows)))


def engine(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, DiffBEVError):  # `main` prints it
        return result.exception.exit_code, f"{result.output}{result.exception}"
    return result.exit_code, result.output


# Annotations


def test_tables_without_annotations_are_refused_by_name(job: PrepareJob):
    edit(job, "sample_annotation", lambda _: [])
    (job.nuscenes_root / "v1.0-mini").rename(job.nuscenes_root / "v1.0-test")
    with pytest.raises(UsageError, match=r"^v1\.0-test .*no annotations.* Use the tables of v1\.0-trainval"):
        prepare(job)
    assert not root_of(job).root.exists()


def test_annotated_tables_are_found_beside_those_of_the_test_set(job: PrepareJob):
    shutil.copytree(job.nuscenes_root / "v1.0-mini", job.nuscenes_root / "v1.0-test")
    (job.nuscenes_root / "v1.0-test" / "sample_annotation.json").write_text("[\n]\n")
    assert prepare(job).record.version == "v1.0-mini"
    with pytest.raises(UsageError, match=r"v1\.0-test .*no annotations.* Use --version v1\.0-mini"):
        prepare(replace(job, version="v1.0-test"))


def test_a_scene_without_boxes_is_unknown_and_not_empty(job: PrepareJob):
    edit(job, "sample_annotation", lambda rows: [row for row in rows if row["sample_token"] >= "s2"])
    summary = prepare(job)
    assert summary.unannotated == ("scene-0001",)
    assert "scene-0001): object classes are ignored there" in summary.to_text()
    unlabelled = {entry.scene: entry.unlabelled for entry in root_of(job).read_index()}
    assert unlabelled == {"scene-0001": OBJECT_CLASSES, "scene-0002": ()}
    record = read_records(root_of(job).root, "train", "all")[0]
    assert record.known.tolist() == [True] * 4 + [False] * 10


def test_a_map_without_a_layer_leaves_that_class_unknown(job: PrepareJob):
    path = job.nuscenes_root / "maps" / "expansion" / "boston-seaport.json"
    content = json.loads(path.read_text())
    del content["walkway"]
    path.write_text(json.dumps(content))
    summary = prepare(job)
    assert not summary.failed
    assert "no annotations for walkway (the file has no layer walkway" in summary.to_text()
    assert {entry.unlabelled for entry in root_of(job).read_index()} == {("walkway",)}


# Sizes


def test_a_resized_image_gets_the_intrinsics_of_the_original(job: PrepareJob):
    prepare(replace(job, output_dir=root_of(job).root / "original"))
    for path in job.nuscenes_root.glob("samples/CAM_FRONT/*.jpg"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (80, 45)))
    summary = prepare(job)
    assert "4 images of CAM_FRONT are stored at 80x45, the tables say 160x90" in summary.to_text()
    records = (read_records(root_of(job).root / part, "train", "front")[0] for part in (".", "original"))
    resized, original = (load_sample(record, (45, 80)) for record in records)
    assert resized.intrinsics.tolist() == original.intrinsics.tolist()
    assert resized.intrinsics[0, 0].item() == 50.0


def test_a_cropped_image_is_named_and_left_out(job: PrepareJob):
    path = next(iter(sorted(job.nuscenes_root.glob("samples/CAM_FRONT/*.jpg"))))
    cv2.imwrite(str(path), cv2.imread(str(path))[:80])
    summary = prepare(job)
    assert [len(failure.tokens) for failure in summary.failed] == [1]
    assert f"{path} is 160x80, but the tables say 160x90" in summary.failed[0].reason


# Partial downloads


def test_missing_files_are_reported_per_scene_and_can_be_skipped(job: PrepareJob):
    for path in job.nuscenes_root.glob("samples/CAM_BACK/s1-*"):
        path.unlink()
    sweep = next(job.nuscenes_root.glob("samples/LIDAR_TOP/s2-0*"))
    sweep.unlink()
    summary = prepare(job)
    assert [str(failure) for failure in summary.failed] == [
        "scene-0001: 2 of 4 images missing (samples/CAM_BACK), from v1.0-mini [2 images]",
        f"scene-0002: 1 of 2 LiDAR sweeps missing ({sweep}), from v1.0-mini [2 images]",
    ]
    assert "--skip-missing" in summary.to_text()
    assert summary.written == 4

    arguments = ["prepare", "--nuscenes-root", job.nuscenes_root, "--output-dir", job.output_dir]
    arguments += ["--split", SPLIT, "--workers", 1]
    assert engine(*arguments)[0] == 1
    code, output = engine(*arguments, "--skip-missing")
    assert code == 0
    assert "skipped: scene-0001: 2 of 4 images missing" in output
    assert json.loads(root_of(job).record_path.read_text())["skipped"] == {"scene-0001": 2, "scene-0002": 2}
    assert not (root_of(job).root / "prepare_failed.txt").exists()


def test_a_side_that_a_partial_download_leaves_empty_is_said(job: PrepareJob):
    for path in job.nuscenes_root.glob("samples/LIDAR_TOP/s2-*"):
        path.unlink()
    summary = prepare(replace(job, skip_missing=True))
    assert summary.record.images == {"train": 4, "val": 0}
    assert "leaves val empty" in summary.to_text()


def test_links_to_a_disk_that_is_not_mounted_are_missing_files(job: PrepareJob):
    for path in job.nuscenes_root.glob("samples/CAM_*/s1-*"):
        path.unlink()
        path.symlink_to("/not/mounted")
    summary = prepare(job)
    assert [failure.reason.split(" (")[0] for failure in summary.failed] == [
        "scene-0001: 4 of 4 images missing"
    ]


def test_many_scenes_without_files_are_few_lines():
    files = {scene: {Path(f"/r/samples/CAM_FRONT/{scene}.jpg")} for scene in OFFICIAL_SCENES}
    lines = list(describe_missing(files, files, "v1.0-trainval"))
    assert len(lines) == 10
    assert lines[1].startswith("85 scenes (scene-0103 to ")
    assert lines[1].endswith("from v1.0-trainval02_blobs")
    assert archive_of("scene-0061", "v1.0-trainval") == "v1.0-trainval01_blobs"
    assert archive_of("scene-0061", "private") == ""


def test_files_that_are_something_else_are_named(job: PrepareJob):
    image = next(iter(sorted(job.nuscenes_root.glob("samples/CAM_FRONT/*"))))
    sweep = next(iter(sorted(job.nuscenes_root.glob("samples/LIDAR_TOP/*"))))
    kept = {path: path.read_bytes() for path in (image, sweep)}
    for path, content, said in (
        (image, LFS, "Git LFS pointer"),
        (image, "<!DOCTYPE html><html>", "HTML page"),
        (sweep, LFS, "Git LFS pointer"),
    ):
        path.write_text(content)
        reasons = [failure.reason for failure in prepare(replace(job, overwrite=True)).failed]
        assert len(reasons) == 1
        assert str(path) in reasons[0]
        assert said in reasons[0]
        path.write_bytes(kept[path])
    map_file = job.nuscenes_root / "maps" / "expansion" / "boston-seaport.json"
    map_file.write_bytes(b"PK\x03\x04")
    load_map.cache_clear()
    assert "is a zip archive" in prepare(replace(job, overwrite=True)).failed[0].reason


def test_maps_one_directory_too_high_are_found(job: PrepareJob):
    maps = job.nuscenes_root / "maps"
    (maps / "expansion" / "boston-seaport.json").rename(maps / "boston-seaport.json")
    reason = prepare(job).failed[0].reason
    assert (
        f"but {maps / 'boston-seaport.json'} exists. Move the map files into {maps / 'expansion'}" in reason
    )


# Where images go


def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(images.os, "link", refuse)


def test_copies_are_announced_with_their_size(
    job: PrepareJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    no_hard_links(monkeypatch)
    summary = prepare(job)
    announced = [message for message in caplog.messages if message.startswith("copying 8 images (about ")]
    assert len(announced) == 1
    assert "cross-device link" in announced[0]
    assert "--images symlink" in summary.to_text()


def test_a_disk_without_room_for_the_copies_is_refused_before_anything_is_written(
    job: PrepareJob, monkeypatch: pytest.MonkeyPatch
):
    no_hard_links(monkeypatch)
    monkeypatch.setattr(images.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(DiffBEVError, match=r"cannot copy 8 images .* are free there.*--images symlink"):
        prepare(job)
    assert not root_of(job).record_path.exists()
    summary = prepare(replace(job, images="symlink"))
    assert not summary.failed
    assert all(path.is_symlink() for path in root_of(job).images("train").values())
    assert load_sample(read_records(root_of(job).root, "val", "front")[0], (45, 80)).image.any()


def test_a_read_only_root_is_told_where_to_write(job: PrepareJob, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path, purpose: str) -> Path:
        raise DiffBEVError(f"cannot write the {purpose} {path}: Read-only file system.")

    monkeypatch.setattr("diffbev_engine.prepare.pipeline.make_writable_dir", refuse)
    with pytest.raises(DiffBEVError, match=r"--output-dir DIR .*--data-root DIR"):
        prepare(replace(job, output_dir=None))


# Versions and splits


def test_a_version_is_the_same_however_it_is_written(job: PrepareJob, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(job.nuscenes_root.parent)
    root = job.nuscenes_root
    for version in ("v1.0-mini/", "./v1.0-mini", root / "v1.0-mini", f"{root.name}/v1.0-mini//"):
        assert prepare(replace(job, version=str(version))).record.version == "v1.0-mini"
    for version, hint in (
        ("V1.0-Mini", "Did you mean v1.0-mini"),
        ("mini", "Did you mean v1.0-mini"),
        ("/elsewhere/v1.0-mini", "no version"),
        ("..", "no version"),
    ):
        with pytest.raises(UsageError, match=hint):
            prepare(replace(job, version=version))


def test_swapped_sides_take_images_and_depth_of_the_other_side_away(job: PrepareJob):
    prepare(job)
    root = root_of(job)
    for split in ("train", "val"):
        root.depth_dir(split).mkdir()
        for token in root.images(split):
            (root.depth_dir(split) / f"{token}.npz").touch()
    summary = prepare(
        replace(job, split="scene-0001=val,scene-0002=train", overwrite=True, cameras=("CAM_FRONT",))
    )
    assert "8 depth files of images that are now in the other part" in summary.to_text()
    assert not root.depths("train")
    assert not root.depths("val")
    assert {entry.scene for entry in root.read_index() if entry.split == "train"} == {"scene-0002"}
    assert len(root.images("train")) == 2  # the back camera was not asked for again


# Depth


def test_an_empty_val_is_named_after_the_summary_of_train(job: PrepareJob):
    prepare(replace(job, split="scene-0001=train"))
    data = ["--data-root", job.output_dir, "--height", 45, "--width", 80, "--workers", 1]
    code, output = engine("prepare-depth", "--nuscenes-root", job.nuscenes_root, *data, "--cameras", "front")
    assert code == 2
    assert "train_depth: 2 written" in output
    assert "val: no images in" in output


def test_two_sizes_of_depth_do_not_replace_each_other(job: PrepareJob):
    prepare(job)
    arguments = ["prepare-depth", "--nuscenes-root", job.nuscenes_root, "--data-root", job.output_dir]
    arguments += ["--workers", 1, "--width", 80]
    assert engine(*arguments, "--height", 45)[0] == 0
    assert engine(*arguments, "--height", 90)[0] == 2
    assert engine(*arguments, "--height", 90, "--overwrite")[0] == 0


def test_cameras_have_one_vocabulary(job: PrepareJob):
    for word in ("front", "CAM_FRONT", "cam_front", "FRONT"):
        prepared = engine(
            *("prepare", "--nuscenes-root", job.nuscenes_root, "--output-dir", job.output_dir),
            *("--split", SPLIT, "--cameras", word, "--workers", 1),
        )
        assert prepared[0] == 0
    assert json.loads(root_of(job).record_path.read_text())["cameras"] == ["CAM_FRONT"]
    assert [standard_cameras(word) for word in ("all", ["back", "CAM_FRONT"], " front ")] == [
        *("all", "CAM_FRONT,CAM_BACK", "front")
    ]
    with pytest.raises(ValueError, match="Did you mean CAM_FRONT_LEFT"):
        standard_cameras("frnt_left")
