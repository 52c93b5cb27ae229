"""Proof that `Tables` agrees with nuscenes-devkit, the reference, on the tables given."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.nuscenes.tables import CameraFrame, Tables

if TYPE_CHECKING:
    from nuscenes import NuScenes

_TOLERANCE = 1e-9  # both sides compute in float64


@dataclass
class DevkitReport:
    """What was compared, and how far apart the two sides are."""

    frames: int = 0
    boxes: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    """Largest absolute difference of each quantity, in its unit (metres, pixels, matrix entries)."""
    mismatches: list[str] = field(default_factory=list)
    """One line for each text or count that differs."""

    @property
    def agrees(self) -> bool:
        """True when nothing differs beyond rounding and something was compared at all."""
        close = all(difference <= _TOLERANCE for difference in self.differences.values())
        return self.frames > 0 and close and not self.mismatches

    def to_text(self) -> str:
        """Plain lines for a terminal or a log."""
        lines = [f"differs: {line}" for line in self.mismatches]
        lines += [f"{quantity}: at most {value:.1e} apart" for quantity, value in self.differences.items()]
        verdict = "agrees with" if self.agrees else "DIFFERS from"
        lines.append(
            f"the index {verdict} nuscenes-devkit: {self.frames} frames, {self.boxes} boxes compared"
        )
        return "\n".join(lines)

    def _numbers(self, quantity: str, ours: np.ndarray, theirs: Any) -> None:
        theirs = np.asarray(theirs, np.float64)
        if ours.shape != theirs.shape:
            self.mismatches.append(f"{quantity}: shape {ours.shape}, devkit {theirs.shape}")
            return
        difference = float(np.abs(ours - theirs).max(initial=0.0))
        # "not <=" rather than max(): a NaN must not be lost
        if not difference <= self.differences.setdefault(quantity, 0.0):
            self.differences[quantity] = difference

    def _same(self, quantity: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            self.mismatches.append(f"{quantity}: {ours}, devkit {theirs}")


def check_against_devkit(
    nuscenes_root: Path, version: str | None = None, samples: int | None = None, cache_dir: Path | None = None
) -> DevkitReport:
    """Compare calibrations, poses, paths and boxes of all cameras with the devkit's.

    Args:
        nuscenes_root: the folder that holds ``samples`` and ``v1.0-...``.
        version: folder of the tables; found when there is only one.
        samples: how many samples, spread evenly; all when None.
        cache_dir: where to keep the table index.

    Raises:
        DiffBEVError: the devkit is not installed, or cannot open these tables.
    """
    tables = Tables.open(nuscenes_root, version, cache_dir)
    devkit = _open_devkit(tables)
    report = DevkitReport()
    _compare_sets(report, tables, devkit)
    chosen = _spread(devkit.sample, samples)
    tokens = {
        token
        for sample in chosen
        for channel, token in sample["data"].items()
        if channel in tables.cameras_present
    }
    for frame in tables.frames_of(tokens):
        _compare_frame(report, frame, devkit)
        report.frames += 1
    for sample in chosen:
        _compare_boxes(report, tables, sample, devkit)
    return report


def _open_devkit(tables: Tables) -> "NuScenes":
    try:
        from nuscenes import NuScenes
    except ImportError as error:
        raise DiffBEVError(
            "comparing with nuscenes-devkit needs it installed: pip install nuscenes-devkit "
            "(it has no release for Python 3.13 and later)"
        ) from error
    try:
        return NuScenes(tables.version, str(tables.root), verbose=False)
    except (AssertionError, OSError, KeyError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise DiffBEVError(f"nuscenes-devkit cannot open {tables.root / tables.version}: {reason}") from error


def _compare_sets(report: DevkitReport, tables: Tables, devkit: "NuScenes") -> None:
    report._same("scenes", tables.scenes, tuple(sorted(scene["name"] for scene in devkit.scene)))
    key_frames = {
        record["token"]
        for record in devkit.sample_data
        if record["is_key_frame"] and record["sensor_modality"] == "camera"
    }
    ours = set(tables.tokens(tables.cameras_present))
    report._same("key-frame images", len(ours), len(key_frames))
    report._same("key-frame images of one side only", len(ours ^ key_frames), 0)


def _compare_frame(report: DevkitReport, frame: CameraFrame, devkit: "NuScenes") -> None:
    record = devkit.get("sample_data", frame.token)
    sample = devkit.get("sample", frame.sample_token)
    scene = devkit.get("scene", sample["scene_token"])
    texts = {
        "image path": (str(frame.image_path), str(devkit.get_sample_data_path(frame.token))),
        "sample": (frame.sample_token, record["sample_token"]),
        "scene": (frame.scene, scene["name"]),
        "location": (frame.location, devkit.get("log", scene["log_token"])["location"]),
        "camera": (frame.camera, record["channel"]),
        "timestamp": (frame.timestamp, record["timestamp"]),
        "image size": ((frame.width, frame.height), (record["width"], record["height"])),
        "has LiDAR": (frame.lidar is not None, "LIDAR_TOP" in sample["data"]),
    }
    for quantity, (ours, theirs) in texts.items():
        report._same(f"{quantity} of image {frame.token}", ours, theirs)
    intrinsics, ego_from_camera, world_from_ego = _devkit_geometry(devkit, frame.token)
    report._numbers("intrinsics", frame.intrinsics, intrinsics)
    report._numbers("ego from camera", frame.ego_from_camera, ego_from_camera)
    report._numbers("world from ego at image", frame.world_from_ego, world_from_ego)
    if frame.lidar is not None and "LIDAR_TOP" in sample["data"]:
        token = sample["data"]["LIDAR_TOP"]
        report._same(f"sweep of {token}", str(frame.lidar.path), str(devkit.get_sample_data_path(token)))
        _, ego_from_lidar, world_from_ego = _devkit_geometry(devkit, token)
        report._numbers("ego from LiDAR", frame.lidar.ego_from_lidar, ego_from_lidar)
        report._numbers("world from ego at sweep", frame.lidar.world_from_ego, world_from_ego)


def _devkit_geometry(devkit: "NuScenes", token: str) -> tuple[Any, np.ndarray, np.ndarray]:
    from nuscenes.utils.geometry_utils import transform_matrix
    from pyquaternion import Quaternion

    record = devkit.get("sample_data", token)
    sensor = devkit.get("calibrated_sensor", record["calibrated_sensor_token"])
    pose = devkit.get("ego_pose", record["ego_pose_token"])
    ego_from_sensor, world_from_ego = (
        transform_matrix(row["translation"], Quaternion(row["rotation"])) for row in (sensor, pose)
    )
    return sensor["camera_intrinsic"], ego_from_sensor, world_from_ego


def _compare_boxes(report: DevkitReport, tables: Tables, sample: dict[str, Any], devkit: "NuScenes") -> None:
    ours = tables.boxes(sample["token"])
    theirs = [devkit.get_box(token) for token in sample["anns"]]
    report.boxes += len(theirs)
    where = f"of sample {sample['token']}"
    report._same(f"box categories {where}", ours.categories, tuple(box.name for box in theirs))
    if len(ours) == len(theirs) > 0:
        report._numbers("box centre", ours.centres, [box.center for box in theirs])
        report._numbers("box size", ours.sizes, [box.wlh for box in theirs])
        corners = [box.bottom_corners().T for box in theirs]
        report._numbers("box bottom corners", ours.bottom_corners(), corners)


def _spread(samples: list[dict[str, Any]], count: int | None) -> list[dict[str, Any]]:
    if count is None or count >= len(samples):
        return samples
    return [samples[position] for position in np.linspace(0, len(samples) - 1, max(count, 1)).astype(int)]
