"""The columnar index of nuScenes tables: what is needed of them, as a few numpy arrays.

Building reads every table once and keeps the key-frames of all cameras, the key-frame
LIDAR_TOP sweep of every sample and all annotated boxes.  Sweeps in between are dropped
while reading, so the memory stays far below the size of the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffbev_engine.core.cameras import camera_rank
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.garbage import collector_paused
from diffbev_engine.nuscenes import json_tables as tables
from diffbev_engine.nuscenes.json_tables import Row, read_pieces, read_rows

LIDAR = "LIDAR_TOP"
_EXTRACT = "Extract the metadata archive again."


@dataclass(frozen=True, eq=False)
class TableIndex:
    """S scenes by name, M samples by (scene, time), F camera key-frames by (scene, time, camera).

    Text is stored as UTF-8 bytes.  A pose is (x, y, z, qw, qx, qy, qz): translation in
    metres, quaternion scalar first.
    """

    scenes: np.ndarray  # (S,)
    locations: np.ndarray  # (S,)
    cameras: np.ndarray  # (C,)
    categories: np.ndarray  # (K,)
    sample_token: np.ndarray  # (M,)
    sample_scene: np.ndarray  # (M,) row of scenes
    calibration_pose: np.ndarray  # (Q, 7) sensor in ego
    calibration_intrinsics: np.ndarray  # (Q, 3, 3), NaN unless a camera
    frame_token: np.ndarray  # (F,)
    frame_sample: np.ndarray  # (F,) row of samples
    frame_camera: np.ndarray  # (F,) row of cameras
    frame_timestamp: np.ndarray  # (F,) microseconds
    frame_size: np.ndarray  # (F, 2) width, height in pixels
    frame_file: np.ndarray  # (F,) path below the nuScenes root
    frame_calibration: np.ndarray  # (F,) row of calibrations
    frame_pose: np.ndarray  # (F, 7) ego in world
    lidar_file: np.ndarray  # (M,) empty where the sample has no sweep
    lidar_calibration: np.ndarray  # (M,)
    lidar_pose: np.ndarray  # (M, 7) ego in world
    box_start: np.ndarray  # (M + 1,) boxes of sample m: rows box_start[m] to box_start[m + 1]
    box_category: np.ndarray  # (A,) row of categories
    box_centre: np.ndarray  # (A, 3) world, metres
    box_size: np.ndarray  # (A, 3) width, length, height in metres
    box_rotation: np.ndarray  # (A, 4) world from box


Columns = dict[str, np.ndarray]


def build_index(folder: Path) -> TableIndex:
    """Read the tables of one version folder.

    Raises:
        DiffBEVError: a table is missing or damaged, or a row refers to one that is not there.
    """
    with collector_paused():  # millions of rows
        samples, sample_ids = _scenes_and_samples(folder)
        calibrations = _calibrations(folder)
        frames = _frames_and_lidar(folder, samples, sample_ids, calibrations)
        boxes = _boxes(folder, sample_ids)
    calibration_columns = {
        "calibration_pose": calibrations.poses,
        "calibration_intrinsics": calibrations.intrinsics,
    }
    return TableIndex(**samples, **calibration_columns, **frames, **boxes)


def _scenes_and_samples(folder: Path) -> tuple[Columns, dict[str, int]]:
    logs = read_rows(folder, tables.LogRow)
    scenes = sorted(read_rows(folder, tables.SceneRow), key=lambda scene: scene.name)
    samples = read_rows(folder, tables.SampleRow)
    scene_log = _references(folder, scenes, "log_token", _ids(logs))
    sample_scene = _references(folder, samples, "scene_token", _ids(scenes))
    timestamps = np.array([sample.timestamp for sample in samples], np.int64)
    order = np.lexsort((timestamps, sample_scene))
    samples = [samples[row] for row in order]
    columns = {
        "scenes": _names(folder, "scene", [scene.name for scene in scenes]),
        "locations": _names(folder, "log", [logs[row].location for row in scene_log]),
        "sample_token": _text([sample.token for sample in samples]),
        "sample_scene": sample_scene[order],
    }
    return columns, _ids(samples)


class _Calibrations(NamedTuple):
    ids: dict[str, int]
    channels: list[str]
    is_camera: list[bool]
    poses: np.ndarray
    intrinsics: np.ndarray


def _calibrations(folder: Path) -> _Calibrations:
    sensors = read_rows(folder, tables.SensorRow)
    rows = read_rows(folder, tables.CalibratedSensorRow)
    used = [sensors[row] for row in _references(folder, rows, "sensor_token", _ids(sensors))]
    intrinsics = np.full((len(rows), 3, 3), np.nan)
    for position, (row, sensor) in enumerate(zip(rows, used, strict=True)):
        if sensor.modality != "camera":
            continue
        if [len(line) for line in row.camera_intrinsic] != [3, 3, 3]:
            path = folder / "calibrated_sensor.json"
            raise DiffBEVError(f"{path}: row {row.token} ({sensor.channel}) has no 3 x 3 camera_intrinsic")
        intrinsics[position] = row.camera_intrinsic
    _names(folder, "sensor", [sensor.channel for sensor in sensors])
    channels = [sensor.channel for sensor in used]
    is_camera = [sensor.modality == "camera" for sensor in used]
    return _Calibrations(_ids(rows), channels, is_camera, _poses(folder, rows), intrinsics)


def _frames_and_lidar(
    folder: Path, samples: Columns, sample_ids: dict[str, int], calibrations: _Calibrations
) -> Columns:
    rows = [row for piece in read_pieces(folder, tables.SampleDataRow) for row in piece if row.is_key_frame]
    calibration = _references(folder, rows, "calibrated_sensor_token", calibrations.ids)
    is_camera = np.array(calibrations.is_camera, bool)[calibration]
    is_lidar = (np.array(calibrations.channels, str) == LIDAR)[calibration]
    wanted = np.flatnonzero(is_camera | is_lidar)
    rows = [rows[row] for row in wanted]
    calibration, is_camera = calibration[wanted], is_camera[wanted]
    sample = _references(folder, rows, "sample_token", sample_ids)
    poses = _ego_poses(folder, rows)

    frames = np.flatnonzero(is_camera)
    channels = [calibrations.channels[row] for row in calibration[frames]]
    cameras = sorted(set(channels), key=camera_rank)
    camera = np.array([cameras.index(channel) for channel in channels], np.int8)
    timestamp = np.array([rows[row].timestamp for row in frames], np.int64)
    order = np.lexsort((camera, timestamp, samples["sample_scene"][sample[frames]]))
    frames = frames[order]
    images = [rows[row] for row in frames]
    return {
        "cameras": _text(cameras),
        "frame_token": _names(folder, "sample_data", [row.token for row in images]),
        "frame_sample": sample[frames],
        "frame_camera": camera[order],
        "frame_timestamp": timestamp[order],
        "frame_size": _image_sizes(folder, images),
        "frame_file": _files(folder, [row.filename for row in images]),
        "frame_calibration": calibration[frames],
        "frame_pose": poses[frames],
        **_lidar_columns(folder, rows, sample, calibration, poses, ~is_camera, len(sample_ids)),
    }


def _lidar_columns(
    folder: Path,
    rows: list[tables.SampleDataRow],
    sample: np.ndarray,
    calibration: np.ndarray,
    poses: np.ndarray,
    is_lidar: np.ndarray,
    sample_count: int,
) -> Columns:
    sweeps = np.flatnonzero(is_lidar)
    files, lidar_calibration = [""] * sample_count, np.zeros(sample_count, np.int32)
    lidar_pose = np.zeros((sample_count, 7))
    lidar_pose[:, 3] = 1.0
    for sweep in sweeps:
        files[sample[sweep]] = rows[sweep].filename
    lidar_calibration[sample[sweeps]] = calibration[sweeps]
    lidar_pose[sample[sweeps]] = poses[sweeps]
    return {
        "lidar_file": _files(folder, files),
        "lidar_calibration": lidar_calibration,
        "lidar_pose": lidar_pose,
    }


def _ego_poses(folder: Path, rows: list[tables.SampleDataRow]) -> np.ndarray:
    """(N, 7) poses of N sample_data rows; the rest of the table is dropped while reading."""
    wanted = {row.ego_pose_token for row in rows}
    found = [row for piece in read_pieces(folder, tables.EgoPoseRow) for row in piece if row.token in wanted]
    return _poses(folder, found)[_references(folder, rows, "ego_pose_token", _ids(found))]


def _boxes(folder: Path, sample_ids: dict[str, int]) -> Columns:
    categories = read_rows(folder, tables.CategoryRow)
    instances = read_rows(folder, tables.InstanceRow)
    instance_category = _references(folder, instances, "category_token", _ids(categories))
    instance_ids = _ids(instances)
    parts: list[Columns] = []
    for rows in read_pieces(folder, tables.SampleAnnotationRow):
        instance = _references(folder, rows, "instance_token", instance_ids)
        parts.append(
            {
                "sample": _references(folder, rows, "sample_token", sample_ids),
                "box_category": instance_category[instance].astype(np.int16),
                "box_centre": np.array([row.translation for row in rows], np.float64).reshape(-1, 3),
                "box_size": np.array([row.size for row in rows], np.float64).reshape(-1, 3),
                "box_rotation": _rotations(folder, rows),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    sample = columns.pop("sample")
    order = np.argsort(sample, kind="stable")  # the devkit keeps the order of the table
    per_sample = np.bincount(sample, minlength=len(sample_ids))
    return {
        "categories": _names(folder, "category", [category.name for category in categories]),
        "box_start": np.concatenate([[0], np.cumsum(per_sample)]).astype(np.int64),
        **{name: column[order] for name, column in columns.items()},
    }


def _ids(rows: Sequence[Row]) -> dict[str, int]:
    return {row.token: position for position, row in enumerate(rows)}


def _references(folder: Path, rows: Sequence[Row], field: str, ids: dict[str, int]) -> np.ndarray:
    """(N,) int32: for each row, the position of the row that its ``field`` names."""
    try:
        return np.array([ids[getattr(row, field)] for row in rows], np.int32)
    except KeyError as error:
        (row, missing) = next((row, error.args[0]) for row in rows if getattr(row, field) == error.args[0])
    table = next(name for name, row_type in tables.ROW_TYPES.items() if row_type is type(row))
    raise DiffBEVError(
        f"{folder / table}.json: row {row.token} refers to {field} {missing!r}, which "
        f"{field.removesuffix('_token')}.json does not have. The tables do not belong together: "
        f"extract the metadata archive again."
    )


def _poses(folder: Path, rows: Sequence[tables.CalibratedSensorRow | tables.EgoPoseRow]) -> np.ndarray:
    translations = np.array([row.translation for row in rows], np.float64).reshape(-1, 3)
    return np.concatenate([translations, _rotations(folder, rows)], axis=1)


def _rotations(
    folder: Path,
    rows: Sequence[tables.CalibratedSensorRow | tables.EgoPoseRow | tables.SampleAnnotationRow],
) -> np.ndarray:
    rotations = np.array([row.rotation for row in rows], np.float64).reshape(-1, 4)
    largest = np.abs(rotations).max(axis=1, initial=0)
    wrong = np.flatnonzero(~((largest > 1e-6) & (largest < 1e6)))
    if wrong.size:
        length = "zero" if largest[wrong[0]] < 1 else "endless"
        raise DiffBEVError(f"{folder}: row {rows[wrong[0]].token} has a rotation of {length} length")
    return rotations


def _image_sizes(folder: Path, images: list[tables.SampleDataRow]) -> np.ndarray:
    sizes = np.array([(row.width, row.height) for row in images], np.int32).reshape(-1, 2)
    wrong = np.flatnonzero(sizes.min(axis=1, initial=1) < 1)
    if wrong.size:
        path = folder / "sample_data.json"
        raise DiffBEVError(f"{path}: image {images[wrong[0]].token} has no width and height")
    return sizes


def _names(folder: Path, table: str, values: Sequence[str]) -> np.ndarray:
    """Text that names files and is printed: a path in it would lead out of the data root."""
    for value in values:
        if "/" in value or not value.isprintable() or value in ("", ".", ".."):
            raise DiffBEVError(f"{folder / table}.json: {value[:80]!r} is not a name. {_EXTRACT}")
    return _text(values)


def _files(folder: Path, values: Sequence[str]) -> np.ndarray:
    """Paths below the nuScenes root."""
    for value in values:
        if value[:1] == "/" or ".." in value.split("/") or "\0" in value:
            raise DiffBEVError(f"{folder}/sample_data.json: {value[:80]!r} leads out of the root. {_EXTRACT}")
    return _text(values)


def _text(values: Sequence[str]) -> np.ndarray:
    return np.array([value.encode() for value in values], np.bytes_)
