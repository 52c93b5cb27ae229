import json
import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.nuscenes import cache, json_tables
from diffbev_engine.nuscenes.devkit_check import check_against_devkit
from diffbev_engine.nuscenes.index import TableIndex
from diffbev_engine.nuscenes.json_tables import CategoryRow, read_rows
from diffbev_engine.nuscenes.rigid import rigid_transforms, rotation_matrices
from diffbev_engine.nuscenes.tables import Boxes, Tables

INDEX = Path("v1.0-mini") / ".diffbev_index.npz"


@pytest.fixture(scope="module")
def real_tables(nuscenes_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables.open(nuscenes_sample, cache_dir=tmp_path_factory.mktemp("cache"))


def edit(root: Path, table: str, change: Any) -> None:
    path = root / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


# Agreement with the reference


def test_tables_agree_with_the_devkit(nuscenes_sample: Path, tmp_path: Path):
    pytest.importorskip("nuscenes")
    report = check_against_devkit(nuscenes_sample, cache_dir=tmp_path)
    assert report.mismatches == []
    assert (report.frames, report.boxes) == (81, 5049)
    assert report.agrees
    assert len(report.differences) == 8
    assert max(report.differences.values()) < 1e-12


def test_every_front_frame_and_its_boxes_equal_the_devkits(nuscenes_sample: Path, real_tables: Tables):
    devkit = pytest.importorskip("nuscenes").NuScenes("v1.0-mini", str(nuscenes_sample), verbose=False)
    from nuscenes.utils.geometry_utils import BoxVisibility

    frames = real_tables.frames(["CAM_FRONT"])
    assert len(frames) == len(devkit.sample)
    for frame in frames:
        # Boxes in the camera frame go through every pose the devkit knows, one after another.
        path, expected, intrinsics = devkit.get_sample_data(frame.token, box_vis_level=BoxVisibility.NONE)
        boxes = real_tables.boxes(frame.sample_token)
        assert str(frame.image_path) == path
        np.testing.assert_array_equal(frame.intrinsics, intrinsics)
        assert boxes.categories == tuple(box.name for box in devkit.get_boxes(frame.token))
        camera_from_world = np.linalg.inv(frame.world_from_camera)
        ours = boxes.centres @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        np.testing.assert_allclose(ours, [box.center for box in expected], atol=1e-9)
        np.testing.assert_array_equal(boxes.sizes, [box.wlh for box in expected])
        corners = [box.bottom_corners().T for box in devkit.get_boxes(frame.token)]
        np.testing.assert_allclose(boxes.bottom_corners(), corners, rtol=0, atol=1e-12)


def test_devkit_check_notices_a_shifted_corner(
    nuscenes_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("nuscenes")
    true_corners = Boxes.bottom_corners
    monkeypatch.setattr(Boxes, "bottom_corners", lambda self: true_corners(self) + 1e-6)
    report = check_against_devkit(nuscenes_sample, samples=3, cache_dir=tmp_path)
    assert report.frames == 3
    assert not report.agrees


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 1e-3))
def test_rotation_matrix_equals_pyquaternion(quaternion: list[float]):
    expected = pytest.importorskip("pyquaternion").Quaternion(quaternion).rotation_matrix
    np.testing.assert_allclose(rotation_matrices(np.array([quaternion]))[0], expected, rtol=0, atol=1e-12)


def test_rigid_transform_rotates_then_translates():
    quarter_turn_left = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    a_from_b = rigid_transforms(np.array([1.0, 2, 3]), np.array(quarter_turn_left))
    np.testing.assert_allclose(a_from_b @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


# What the tables hold


def test_frames_are_key_frames_sorted_by_scene_time_and_camera(tiny_nuscenes: Path):
    tables = Tables.open(tiny_nuscenes)
    assert tables.scenes == ("scene-0001", "scene-0002")
    assert tables.cameras_present == ("CAM_FRONT", "CAM_BACK")
    frames = tables.frames(tables.cameras_present)
    assert [frame.token for frame in frames] == [
        f"{scene}-{step}-{camera}-samples"
        for scene in ("s1", "s2")
        for step in (0, 1)
        for camera in ("CAM_FRONT", "CAM_BACK")
    ]
    assert [frame.token for frame in frames] == tables.tokens(tables.cameras_present)
    first, second, *_ = frames
    assert first.lidar is second.lidar  # one sweep a sample
    assert (frames[-1].token, frames[1:2][0].token, len(frames[::2])) == (
        "s2-1-CAM_BACK-samples",
        second.token,
        4,
    )


def test_frame_carries_calibration_poses_and_absolute_paths(tiny_nuscenes: Path):
    tables = Tables.open(tiny_nuscenes)
    frame = tables.frames(["CAM_BACK"], scenes=["scene-0002"])[1]
    assert (frame.token, frame.sample_token) == ("s2-1-CAM_BACK-samples", "s2-1")
    assert (frame.scene, frame.location, frame.camera) == ("scene-0002", "boston-seaport", "CAM_BACK")
    assert (frame.timestamp, frame.width, frame.height) == (2_000_010, 160, 90)
    assert frame.image_path == tiny_nuscenes / "samples/CAM_BACK/s2-1-CAM_BACK-samples.jpg"
    np.testing.assert_array_equal(frame.intrinsics, [[100, 0, 80], [0, 100, 45], [0, 0, 1]])
    # a point 3 m ahead of the camera lies 3 m further along the world's x
    np.testing.assert_allclose(frame.world_from_camera @ [0, 0, 3, 1], [13, 0.01, 1, 1], atol=1e-12)
    assert frame.lidar is not None
    assert frame.lidar.path == tiny_nuscenes / "samples/LIDAR_TOP/s2-1-LIDAR_TOP-samples.pcd.bin"
    np.testing.assert_allclose(frame.lidar.world_from_lidar @ [3, 0, 0, 1], [13, 0.02, 1, 1], atol=1e-12)


def test_boxes_keep_the_order_of_the_table(tiny_nuscenes: Path):
    boxes = Tables.open(tiny_nuscenes).boxes("s1-1")
    assert boxes.categories == ("vehicle.car", "animal")
    np.testing.assert_array_equal(boxes.centres[:, 0], [5.0, 7.5])
    # front right, front left, back left, back right of a box 4 m long and 2 m wide
    expected = [[7, 0, -0.25], [7, 2, -0.25], [3, 2, -0.25], [3, 0, -0.25]]
    np.testing.assert_allclose(boxes.bottom_corners()[0], expected, atol=1e-12)


def test_sample_without_lidar_sweep_or_boxes(tiny_nuscenes: Path):
    edit(
        tiny_nuscenes, "sample_data", lambda rows: rows.remove(next(r for r in rows if "LIDAR" in r["token"]))
    )
    edit(tiny_nuscenes, "sample_annotation", list.clear)
    tables = Tables.open(tiny_nuscenes)
    lidar = {frame.sample_token: frame.lidar for frame in tables.frames(["CAM_FRONT"])}
    assert [token for token, sweep in lidar.items() if sweep is None] == ["s2-1"]
    assert len(tables.boxes("s1-0")) == 0
    assert tables.boxes("s1-0").bottom_corners().shape == (0, 4, 3)


def test_camera_missing_from_one_scene(tiny_nuscenes: Path):
    def drop(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if not row["token"].startswith(("s1-0-CAM_BACK", "s1-1-CAM_BACK"))]

    edit(tiny_nuscenes, "sample_data", drop)
    tables = Tables.open(tiny_nuscenes)
    assert tables.tokens(["CAM_BACK"], scenes=["scene-0001"]) == []
    assert len(tables.tokens(["CAM_BACK"])) == 2


def test_frames_of_takes_the_known_tokens(tiny_nuscenes: Path):
    frames = Tables.open(tiny_nuscenes).frames_of(["s2-0-CAM_FRONT-samples", "x", "s1-1-CAM_BACK-samples"])
    assert [frame.token for frame in frames] == ["s1-1-CAM_BACK-samples", "s2-0-CAM_FRONT-samples"]


# Reading JSON in pieces


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text(st.sampled_from('ab{}[],:" \\\n€'), max_size=12), max_size=8),
    piece=st.integers(1, 90),
    indent=st.sampled_from([None, 0, 2]),
)
def test_pieces_of_any_size_give_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], piece: int, indent: int | None
):
    monkeypatch.setattr(json_tables, "_PIECE_BYTES", piece)
    rows = [{"token": str(number), "name": name, "extra": [[1.5]]} for number, name in enumerate(names)]
    (tmp_path / "category.json").write_text(json.dumps(rows, indent=indent, ensure_ascii=False), "utf-8")
    read = read_rows(tmp_path, CategoryRow)
    assert [(row.token, row.name) for row in read] == [(row["token"], row["name"]) for row in rows]


def test_damage_in_a_late_piece_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_tables, "_PIECE_BYTES", 64)
    rows = [{"token": str(number), "name": "n" if number < 20 else number} for number in range(21)]
    (tmp_path / "category.json").write_text(json.dumps(rows))
    with pytest.raises(DiffBEVError, match=r"category\.json: Expected `str`, got `int`.*from number"):
        read_rows(tmp_path, CategoryRow)


# The index on disk


def columns(tables: Tables) -> dict[str, np.ndarray]:
    return {field.name: getattr(tables._index, field.name) for field in fields(TableIndex)}


def forbid_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> TableIndex:
        raise AssertionError(f"built again from {folder}")

    monkeypatch.setattr(cache, "build_index", refuse)


def test_second_open_loads_the_same_columns(tiny_nuscenes: Path, monkeypatch: pytest.MonkeyPatch):
    built = columns(Tables.open(tiny_nuscenes))
    forbid_building(monkeypatch)
    loaded = columns(Tables.open(tiny_nuscenes))
    for name, column in built.items():
        np.testing.assert_array_equal(loaded[name], column, err_msg=name)
        assert loaded[name].dtype == column.dtype


def swap_in_place(path: Path) -> None:
    """Other content of equal size and time, as an archive of another release leaves it."""
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"vehicle.car"', b'"vehicle.bus"'))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


@pytest.mark.parametrize("kept_time", [True, False])
def test_changed_table_is_read_again_with_one_log_line(
    tiny_nuscenes: Path, caplog: pytest.LogCaptureFixture, kept_time: bool
):
    Tables.open(tiny_nuscenes)
    path = tiny_nuscenes / "v1.0-mini/category.json"
    if kept_time:
        swap_in_place(path)
    else:
        path.write_text(path.read_text().replace("vehicle.car", "vehicle.bus.rigid"))
    with caplog.at_level(logging.WARNING):
        categories = Tables.open(tiny_nuscenes).boxes("s1-0").categories
    assert categories[0].startswith("vehicle.bus")
    assert [record.getMessage() for record in caplog.records] == [
        f"table index {tiny_nuscenes / INDEX} is older than its tables (category changed): building it again"
    ]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"s1-0-CAM_BACK")] ^= 1
    path.write_bytes(content)


def replace_by_other_archive(path: Path) -> None:
    np.savez(path, fingerprint=np.arange(3))


def replace_by_pickle(path: Path) -> None:
    np.savez(path, fingerprint=np.array([{"an": "object"}]))


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, replace_by_other_archive, replace_by_pickle])
def test_unusable_index_is_built_again_with_one_log_line(
    tiny_nuscenes: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, damage: Any
):
    before = Tables.open(tiny_nuscenes).tokens(["CAM_BACK"])
    damage(tiny_nuscenes / INDEX)
    with caplog.at_level(logging.WARNING):
        assert Tables.open(tiny_nuscenes).tokens(["CAM_BACK"]) == before
    assert len(caplog.records) == 1
    forbid_building(monkeypatch)
    assert Tables.open(tiny_nuscenes).tokens(["CAM_BACK"]) == before


def test_cache_dir_keeps_the_data_folder_clean(
    tiny_nuscenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Tables.open(tiny_nuscenes, cache_dir=tmp_path / "cache")
    assert not (tiny_nuscenes / INDEX).exists()
    forbid_building(monkeypatch)
    Tables.open(tiny_nuscenes, cache_dir=tmp_path / "cache")


def test_read_only_data_uses_the_users_cache(
    tiny_nuscenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tiny_nuscenes / "v1.0-mini").chmod(0o555)
    with caplog.at_level(logging.WARNING):
        Tables.open(tiny_nuscenes)
    assert caplog.records == []
    assert len(list((tmp_path / "xdg/diffbev").glob("tiny-v1.0-mini-*.npz"))) == 1
    forbid_building(monkeypatch)
    Tables.open(tiny_nuscenes)


def test_no_place_for_the_index_is_a_warning(
    tiny_nuscenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tiny_nuscenes / "v1.0-mini").chmod(0o555)
    with caplog.at_level(logging.WARNING):
        assert len(Tables.open(tiny_nuscenes).tokens(["CAM_BACK"])) == 4
    assert "could not be cached" in caplog.text


def test_unwritable_cache_dir_is_an_error(tiny_nuscenes: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DiffBEVError, match=str(tmp_path / "file")):
        Tables.open(tiny_nuscenes, cache_dir=tmp_path / "file")


# Mistakes and damage


@pytest.mark.parametrize("table", sorted(json_tables.ROW_TYPES))
def test_missing_or_broken_table_is_named(tiny_nuscenes: Path, table: str):
    path = tiny_nuscenes / "v1.0-mini" / f"{table}.json"
    text = path.read_bytes()
    for damaged in (
        text[:-20],
        text.replace(b'"token"', b'"t"'),
        b"",
        b"{}",
        text[:30] + b"\xff" + text[31:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(DiffBEVError, match=f"{table}.json"):
            Tables.open(tiny_nuscenes)
    path.unlink()
    with pytest.raises(DiffBEVError, match=rf"v1\.0-mini lacks {table}\.json"):
        Tables.open(tiny_nuscenes)


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("scene", "log_token"),
        ("sample", "scene_token"),
        ("calibrated_sensor", "sensor_token"),
        ("sample_data", "calibrated_sensor_token"),
        ("sample_data", "ego_pose_token"),
        ("sample_data", "sample_token"),
        ("instance", "category_token"),
        ("sample_annotation", "instance_token"),
        ("sample_annotation", "sample_token"),
    ],
)
def test_reference_to_a_missing_row_is_named(tiny_nuscenes: Path, table: str, field: str):
    edit(tiny_nuscenes, table, lambda rows: rows[0].update({field: "nowhere"}))
    with pytest.raises(DiffBEVError, match=rf"{table}\.json: row \S+ refers to {field} 'nowhere'"):
        Tables.open(tiny_nuscenes)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("ego_pose", {"rotation": [0, 0, 0, 0]}, "rotation of zero length"),
        ("calibrated_sensor", {"camera_intrinsic": []}, "no 3 x 3 camera_intrinsic"),
        ("sample_data", {"width": 0}, "no width and height"),
    ],
)
def test_useless_values_are_named(tiny_nuscenes: Path, table: str, change: dict[str, Any], message: str):
    edit(tiny_nuscenes, table, lambda rows: rows[0].update(change))
    with pytest.raises(DiffBEVError, match=message):
        Tables.open(tiny_nuscenes)


def test_wrong_root_or_version_says_what_is_there(tiny_nuscenes: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"no nuScenes root .*nowhere"):
        Tables.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"'v1\.0-trainval' .* it holds v1\.0-mini"):
        Tables.open(tiny_nuscenes, "v1.0-trainval")
    with pytest.raises(UsageError, match=r"give its parent"):
        Tables.open(tiny_nuscenes / "v1.0-mini")
    with pytest.raises(UsageError, match=r"extract a metadata archive"):
        Tables.open(tiny_nuscenes / "samples")


def test_several_versions_need_a_choice(tiny_nuscenes: Path):
    (tiny_nuscenes / "v1.0-test").mkdir()
    (tiny_nuscenes / "v1.0-test/sample_data.json").write_text("[]")
    with pytest.raises(UsageError, match=r"v1\.0-mini, v1\.0-test: choose one with --version"):
        Tables.open(tiny_nuscenes)
    assert Tables.open(tiny_nuscenes, "v1.0-mini").version == "v1.0-mini"


def test_unknown_camera_scene_or_sample_is_an_error(tiny_nuscenes: Path):
    tables = Tables.open(tiny_nuscenes)
    with pytest.raises(UsageError, match=r"no camera CAM_LEFT .* CAM_FRONT, CAM_BACK"):
        tables.frames(["CAM_FRONT", "CAM_LEFT"])
    with pytest.raises(UsageError, match=r"no scene scene-9 .* scene-0001"):
        tables.frames(["CAM_FRONT"], scenes=["scene-9"])
    with pytest.raises(DiffBEVError, match="'nothing'"):
        tables.boxes("nothing")
