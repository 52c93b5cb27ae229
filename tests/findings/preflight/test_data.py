"""A broken data root is told before the run, with what is broken and what to do."""

import json
import shutil

import cv2
import numpy as np

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.findings.depth_coverage import depth_coverage
from diffbev_engine.findings.finding import Severity
from diffbev_engine.prepare.data_root import DataRoot, PrepareRecord
from diffbev_engine.prepare.encoding import encode_label, write_label
from diffbev_engine.prepare.masks import fov_mask


def _only(findings):
    assert len(findings) == 1, findings
    finding = findings[0]
    assert finding.title.zh
    assert finding.advice.zh
    assert finding.advice.en
    return finding


def test_a_whole_data_root_has_no_errors(look):
    found = look()
    assert not [each for each in found if each.severity is Severity.ERROR]
    checks = {each.id for each in found if each.severity is Severity.OK}
    assert checks >= {"work_dir", "disk", "data_root", "pairing", "splits", "samples", "labels", "schedule"}


def test_the_right_upper_and_lower_case_is_offered(look, root):
    finding = _only(look("data_root", data_root=root.parent / "nuscenes"))
    assert finding.severity is Severity.ERROR
    assert f"--set data_root={root}" in finding.advice.en


def test_an_empty_folder_of_the_wrong_case_does_not_hide_the_right_one(look, root):
    (root.parent / "nuscenes").mkdir()
    assert str(root) in _only(look("data_root", data_root=root.parent / "nuscenes")).advice.zh


def test_checks_without_data_say_that_they_did_not_look(look, tmp_path):
    found = look(data_root=tmp_path / "nowhere")
    skipped = {each.id for each in found if "skipped" in each.title.en}
    assert skipped == {"pairing", "splits", "depth", "samples", "labels", "schedule"} - {"depth"}
    assert [each.id for each in found if each.severity is Severity.ERROR] == ["data_root"]


def test_a_missing_folder_is_named(look, root):
    shutil.rmtree(root / "ann_bev_dir" / "val")
    assert str(root / "ann_bev_dir" / "val") in look("data_root")[0].title.en


def test_images_without_a_label_are_counted_and_named(look, root):
    labels = sorted((root / "ann_bev_dir" / "train").iterdir())
    for path in labels[:5]:
        path.unlink()
    finding = _only(look("pairing"))
    assert "train: 5 images have no label" in finding.title.en
    assert labels[0].stem in finding.title.en
    assert labels[4].stem not in finding.title.en, "the first few are enough"


def test_an_image_without_intrinsics_is_named(look, root):
    calibration = json.loads((root / "calib.json").read_text())
    token = sorted(calibration)[-1]
    del calibration[token]
    (root / "calib.json").write_text(json.dumps(calibration))
    assert token in _only(look("pairing")).title.en


def test_an_entry_of_the_index_without_image_is_named(look, root):
    image = sorted((root / "img_dir" / "val").iterdir())[0]
    image.unlink()
    entry, label = look("pairing")
    assert image.stem in entry.title.en
    assert (entry.severity, label.severity) == (Severity.ERROR, Severity.WARNING)


def test_without_an_index_the_front_camera_cannot_be_told(look, root):
    (root / "index.jsonl").unlink()
    assert "the camera of each image is unknown" in look("pairing")[0].title.en
    assert look("splits")[0].severity is Severity.WARNING


def test_a_scene_in_both_splits_is_an_error(look, root):
    index = root / "index.jsonl"
    index.write_text(index.read_text().replace("scene-0003", "scene-0061"))
    assert "1 scenes are in train and in val: scene-0061" in _only(look("splits")).title.en


def test_a_token_in_both_splits_is_an_error(look, root):
    image = sorted((root / "img_dir" / "train").iterdir())[0]
    shutil.copy(image, root / "img_dir" / "val")
    assert image.stem in _only(look("splits")).title.en


def test_depth_that_is_loaded_must_be_there(look, root, tiny_settings):
    data = tiny_settings.data.model_copy(update={"load_depth": True})
    first = look("depth", data=data)[0]
    assert "train: 8 of 8 images have no depth" in first.title.en
    assert "--height 64 --width 96" in first.advice.en
    for split in ("train", "val"):
        folder = root / "ann_bev_dir" / f"{split}_depth"
        folder.mkdir()
        for image in (root / "img_dir" / split).iterdir():
            np.savez(
                folder / f"{image.stem}.npz", depth=np.ones((64, 96), np.float32), mask=np.ones((64, 96))
            )
    assert not look("depth", data=data)
    assert not look("samples", data=data)
    wrong = data.model_copy(update={"image_size": (32, 48)})
    assert "(64, 96)" in look("samples", data=wrong)[0].title.en


def test_a_truncated_image_is_named(look, root):
    image = sorted((root / "img_dir" / "train").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-200])
    finding = _only(look("samples"))
    assert image.name in finding.title.en
    assert "1 of 8 samples" in finding.title.en


def test_intrinsics_that_are_none_are_named(look, root):
    calibration = json.loads((root / "calib.json").read_text())
    calibration[next(iter(calibration))] = [[80, 3, 48], [0, 80, 32], [0, 0, 1]]
    (root / "calib.json").write_text(json.dumps(calibration))
    assert next(iter(calibration)) in _only(look("samples")).title.en


def test_an_eight_bit_label_is_an_error(look, root):
    label = sorted((root / "ann_bev_dir" / "val").iterdir())[0]
    cv2.imwrite(str(label), np.zeros((196, 200), np.uint8))
    assert "8-bit" in _only(look("labels")).title.en


def test_labels_without_a_visible_cell_or_without_road_are_told(look, root):
    everywhere, nowhere = np.ones((196, 200), bool), np.zeros((14, 196, 200), bool)
    for path in (root / "ann_bev_dir" / "val").iterdir():
        write_label(path, encode_label(nowhere, everywhere, everywhere))
    for path in (root / "ann_bev_dir" / "train").iterdir():
        write_label(path, encode_label(nowhere, ~everywhere, ~everywhere))
    said = "\n".join(each.title.en for each in look("labels"))
    assert "val: labels without a visible cell: 5" in said
    assert "train: labels without any bit set" in said
    assert "train: drivable area covers 0.0%" in said
    assert "train: 100.0% of the cells are visible" in said


def test_a_damaged_register_stops_no_other_check(look, root):
    (root / "index.jsonl").write_text("{not json\n")
    found = look()
    errors = [each for each in found if each.severity is Severity.ERROR]
    assert len(errors) == 1, "told once"
    assert "index.jsonl" in errors[0].title.en
    assert {"disk", "cuda", "ram", "cores"} <= {
        each.id for each in found if each.severity is not Severity.ERROR
    }


def test_nothing_is_changed(look, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    look()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_depth_is_counted_per_camera_and_by_size(tmp_path):
    folder = tmp_path / "train_depth"
    cameras = {f"{camera}-{number}": camera for camera in ("CAM_FRONT", "CAM_BACK") for number in range(3)}
    assert depth_coverage(folder, cameras, (64, 96)).describe().en == "6 of 6 images have no depth"
    folder.mkdir()
    for token in ("CAM_FRONT-0", "CAM_FRONT-1", "CAM_FRONT-2"):
        np.savez(folder / f"{token}.npz", depth=np.ones((64, 96), np.float32), mask=np.ones((64, 96)))
    found = depth_coverage(folder, cameras, (64, 96))
    assert found.describe().en == "3 of 6 images have no depth; none for CAM_BACK"
    assert not found.complete
    assert "--overwrite" not in found.remedy()
    wrong = depth_coverage(folder, {"CAM_FRONT-0": "CAM_FRONT"}, (32, 48))
    assert "wrong size: files are 64x96, images load at 32x48" in wrong.describe().en
    assert not wrong.complete
    assert wrong.remedy().endswith("--height 32 --width 48 --overwrite")


def test_images_resized_without_a_record_of_their_size_do_not_fit_their_labels(look, root):
    intrinsics = np.array([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]])
    outside = ~fov_mask(intrinsics, 96, LABEL_GRID)
    for path in root.glob("ann_bev_dir/*/*.png"):
        write_label(path, encode_label(np.zeros((14, 196, 200), bool), outside, outside))
    assert not look("geometry")
    for path in root.glob("img_dir/*/*.jpg"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (48, 32)))
    said = look("geometry")
    assert [each.severity for each in said] == [Severity.ERROR] * 2
    assert "8 of 8 labels does not match the intrinsics" in said[0].title.en
    assert "a factor of 2.00" in said[0].title.en
    record = PrepareRecord("v1.0-mini", "pon", ("CAM_FRONT",), "exact", image_sizes={"CAM_FRONT": (96, 64)})
    DataRoot(root).write_record(record)
    assert not look("geometry")
