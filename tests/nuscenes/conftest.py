import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CAMERAS = ("CAM_FRONT", "CAM_BACK")
_IDENTITY = [1.0, 0.0, 0.0, 0.0]
_CAMERA_IN_EGO = [0.5, -0.5, 0.5, -0.5]  # looks along x of the ego frame
_INTRINSICS = [[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]]


@pytest.fixture
def tiny_nuscenes(tmp_path: Path) -> Path:
    """Two made-up scenes of two samples, two cameras, LiDAR and radar; images are empty files.

    The tables are written in an order that differs from time and name, as the real ones are.
    """
    root = tmp_path / "tiny"
    tables: dict[str, list[dict[str, Any]]] = {
        "scene": [
            {"token": "s2", "name": "scene-0002", "log_token": "log", "description": "b },{ c"},
            {"token": "s1", "name": "scene-0001", "log_token": "log", "description": "a"},
        ],
        "log": [{"token": "log", "location": "boston-seaport"}],
        "sample": [],
        "sensor": [
            {"token": channel, "channel": channel, "modality": modality}
            for channel, modality in [
                *((camera, "camera") for camera in CAMERAS),
                ("LIDAR_TOP", "lidar"),
                ("RADAR_FRONT", "radar"),
            ]
        ],
        "calibrated_sensor": [
            {
                "token": f"calibrated-{channel}",
                "sensor_token": channel,
                "translation": [0.0, 0.0, 1.0],
                "rotation": _CAMERA_IN_EGO if channel in CAMERAS else _IDENTITY,
                "camera_intrinsic": _INTRINSICS if channel in CAMERAS else [],
            }
            for channel in (*CAMERAS, "LIDAR_TOP", "RADAR_FRONT")
        ],
        "ego_pose": [],
        "sample_data": [],
        "category": [{"token": "car", "name": "vehicle.car"}, {"token": "dog", "name": "animal"}],
        "instance": [{"token": "i1", "category_token": "dog"}, {"token": "i2", "category_token": "car"}],
        "sample_annotation": [],
    }
    for scene in ("s2", "s1"):
        for step in (1, 0):
            _add_sample(root, tables, scene, step)
    folder = root / "v1.0-mini"
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return root


def _add_sample(root: Path, tables: dict[str, list[dict[str, Any]]], scene: str, step: int) -> None:
    sample, time = f"{scene}-{step}", 1_000_000 * (step + 1)
    tables["sample"].append({"token": sample, "timestamp": time, "scene_token": scene})
    for lag, channel in enumerate((*CAMERAS, "LIDAR_TOP", "RADAR_FRONT")):
        for is_key_frame in (True, False):
            kind = "samples" if is_key_frame else "sweeps"
            token = f"{sample}-{channel}-{kind}"
            suffix = "jpg" if channel in CAMERAS else "pcd.bin"
            record = {
                "token": token,
                "sample_token": sample,
                "ego_pose_token": token,
                "calibrated_sensor_token": f"calibrated-{channel}",
                "timestamp": time + 10 * lag + (0 if is_key_frame else 50_000),
                "is_key_frame": is_key_frame,
                "width": 160,
                "height": 90,
                "filename": f"{kind}/{channel}/{token}.{suffix}",
            }
            tables["sample_data"].append(record)
            pose = {"token": token, "translation": [10.0 * step, lag / 100, 0.0], "rotation": _IDENTITY}
            tables["ego_pose"].append(pose)
            if is_key_frame:
                _write_file(root / record["filename"])
    for instance, x in (("i2", 5.0), ("i1", 7.5)):
        tables["sample_annotation"].append(
            {
                "token": f"{sample}-{instance}",
                "sample_token": sample,
                "instance_token": instance,
                "translation": [x, 1.0, 0.5],
                "size": [2.0, 4.0, 1.5],
                "rotation": _IDENTITY,
            }
        )


def _write_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b""
    if path.suffix == ".bin":
        rng = np.random.default_rng(0)
        points = rng.uniform([2, -10, -2, 0, 0], [60, 10, 2, 1, 1], (500, 5))
        content = points.astype("<f4").tobytes()
    path.write_bytes(content)
