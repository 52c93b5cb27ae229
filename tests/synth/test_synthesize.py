import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.synth import recorder
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.rig import transform
from diffbev_engine.synth.synthesize import synthesize

SMALL = (45, 80)
TABLES = [
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
]


def _job(out: Path, **changes) -> SynthJob:
    return SynthJob(out, **{"scenes": 2, "samples_per_scene": 3, "image_size": SMALL, **changes})


def _digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "world"
    synthesize(_job(root))
    return root


@pytest.fixture(scope="module")
def tables(world: Path) -> dict[str, dict[str, dict]]:
    read = {name: json.loads((world / "v1.0-mini" / f"{name}.json").read_text()) for name in TABLES}
    for name, rows in read.items():
        assert len({row["token"] for row in rows}) == len(rows), name
    return {name: {row["token"]: row for row in rows} for name, rows in read.items()}


def test_every_token_leads_somewhere(tables):
    fields = {
        "sample": {"scene_token": "scene"},
        "scene": {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
        "sample_data": {
            "sample_token": "sample",
            "ego_pose_token": "ego_pose",
            "calibrated_sensor_token": "calibrated_sensor",
        },
        "calibrated_sensor": {"sensor_token": "sensor"},
        "instance": {
            "category_token": "category",
            "first_annotation_token": "sample_annotation",
            "last_annotation_token": "sample_annotation",
        },
        "sample_annotation": {
            "sample_token": "sample",
            "instance_token": "instance",
            "visibility_token": "visibility",
        },
    }
    for table, links in fields.items():
        assert tables[table]
        for row in tables[table].values():
            for field, target in links.items():
                assert row[field] in tables[target], (table, field)
    for row in tables["sample_annotation"].values():
        assert all(attribute in tables["attribute"] for attribute in row["attribute_tokens"])
    logs = [token for row in tables["map"].values() for token in row["log_tokens"]]
    assert sorted(logs) == sorted(tables["log"])


@pytest.mark.parametrize("table", ["sample", "sample_data", "sample_annotation"])
def test_chains_run_forwards_and_back(tables, table: str):
    rows = tables[table]
    for token, row in rows.items():
        if row["next"]:
            assert rows[row["next"]]["prev"] == token
        if row["prev"]:
            assert rows[row["prev"]]["next"] == token


def test_instances_count_their_annotations(tables):
    for token, row in tables["instance"].items():
        mine = [a for a in tables["sample_annotation"].values() if a["instance_token"] == token]
        assert len(mine) == row["nbr_annotations"] > 0
        first, last = (
            tables["sample_annotation"][row[f"{end}_annotation_token"]] for end in ("first", "last")
        )
        assert first["prev"] == ""
        assert last["next"] == ""


def test_key_frames_are_half_a_second_apart_and_the_camera_fires_first(tables):
    for row in tables["sample"].values():
        if row["next"]:
            assert tables["sample"][row["next"]]["timestamp"] - row["timestamp"] == 500_000
        mine = [d for d in tables["sample_data"].values() if d["sample_token"] == row["token"]]
        camera, lidar = sorted(mine, key=lambda d: d["fileformat"])
        assert lidar["timestamp"] == row["timestamp"]
        assert 30_000 < lidar["timestamp"] - camera["timestamp"] < 60_000
        poses = [tables["ego_pose"][d["ego_pose_token"]] for d in (camera, lidar)]
        assert all(pose["translation"][2] == 0.0 for pose in poses)
        moved = np.linalg.norm(np.subtract(poses[1]["translation"], poses[0]["translation"]))
        assert 0.1 < moved < 0.5


def test_files_match_their_rows(world: Path, tables):
    for row in tables["sample_data"].values():
        path = world / row["filename"]
        if row["fileformat"] == "jpg":
            image = cv2.imread(str(path))
            assert image.shape == (*SMALL, 3) == (row["height"], row["width"], 3)
            assert image.std() > 15
        else:
            assert path.stat().st_size % 20 == 0
            assert np.isfinite(np.fromfile(path, np.float32)).all()


def test_counted_lidar_points_lie_in_the_box(world: Path, tables):
    checked = 0
    for data in tables["sample_data"].values():
        if data["fileformat"] != "pcd":
            continue
        pose = tables["ego_pose"][data["ego_pose_token"]]
        sensor = tables["calibrated_sensor"][data["calibrated_sensor_token"]]
        world_from_lidar = transform(pose["rotation"], pose["translation"]) @ transform(
            sensor["rotation"], sensor["translation"]
        )
        points = np.fromfile(world / data["filename"], np.float32).reshape(-1, 5)[:, :3].astype(float)
        points = points @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3]
        for row in tables["sample_annotation"].values():
            if row["sample_token"] != data["sample_token"]:
                continue
            box = np.linalg.inv(transform(row["rotation"], row["translation"]))
            local = points @ box[:3, :3].T + box[:3, 3]
            width, length, height = row["size"]
            within = (np.abs(local) <= np.array([length, width, height]) / 2 + 1e-3).all(axis=1)
            # Ground below a vehicle is in its box as well, but is not counted.
            assert row["num_lidar_pts"] <= within.sum()
            checked += row["num_lidar_pts"] > 0
    assert checked > 100


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(world: Path, tmp_path: Path):
    again = tmp_path / "again"
    synthesize(_job(again, workers=2))
    assert _digests(again) == _digests(world)


def test_another_seed_gives_another_world(world: Path, tmp_path: Path):
    other = tmp_path / "other"
    synthesize(_job(other, scenes=1, samples_per_scene=1, seed=1))
    same = set(_digests(other).values()) & set(_digests(world).values())
    # The levels of visibility are fixed by nuScenes, tokens included.
    assert same == {_digests(world)["v1.0-mini/visibility.json"]}


def test_a_finished_world_is_left_alone(world: Path):
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    summary = synthesize(_job(world))
    assert summary.already_there
    assert summary.frames == 6
    assert summary.val_scenes == ("scene-0757",)
    assert set(summary.val_scenes) < set(summary.scenes)
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_other_settings_are_refused(world: Path):
    with pytest.raises(UsageError, match="different settings"):
        synthesize(_job(world, seed=5))


def test_a_folder_with_something_else_is_refused(tmp_path: Path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not empty"):
        synthesize(_job(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_file_in_the_way_is_refused(tmp_path: Path):
    (tmp_path / "world").write_text("a file")
    with pytest.raises(UsageError, match="is a file"):
        synthesize(_job(tmp_path / "world"))


def test_a_damaged_manifest_is_named(tmp_path: Path):
    (tmp_path / "synth.json").write_text("{")
    with pytest.raises(UsageError, match=r"synth\.json"):
        synthesize(_job(tmp_path))


def test_an_interrupted_world_is_finished_by_the_same_command_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, real, frames = tmp_path / "world", recorder.scan, []

    def full_disk(*arguments):
        frames.append(1)
        if len(frames) == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(recorder, "scan", full_disk)
    job = _job(out, scenes=1, samples_per_scene=2)
    with pytest.raises(DiffBEVError, match="No space left on device"):
        synthesize(job)
    assert not (out / "synth.json").exists()
    with pytest.raises(UsageError, match="different settings"):
        synthesize(_job(out, scenes=1, samples_per_scene=3))
    assert not synthesize(job).already_there
    fresh = tmp_path / "fresh"
    synthesize(_job(fresh, scenes=1, samples_per_scene=2))
    assert _digests(out) == _digests(fresh)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "v1.0-test"},
        {"scenes": 0},
        {"scenes": 10_000},
        {"samples_per_scene": 0},
        {"seed": -1},
        {"image_size": (4, 4)},
        {"workers": 0},
    ],
    ids=str,
)
def test_impossible_settings_are_usage_errors(tmp_path: Path, changes: dict):
    with pytest.raises(UsageError, match="choose"):
        _job(tmp_path, **changes)
