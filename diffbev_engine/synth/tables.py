"""The 13 nuScenes tables of a synthetic world, from the records of its scenes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffbev_engine.core.files import write_text
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.names import token
from diffbev_engine.synth.recorder import CAMERA, LIDAR, Capture, SceneRecord
from diffbev_engine.synth.rig import make_rig

ANNOTATION_RANGE = 60.0  # metres from the ego vehicle
CATEGORIES = (
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
)
_ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
)
_VISIBILITY = (("1", 0, 40), ("2", 40, 60), ("3", 60, 80), ("4", 80, 100))
_SENSORS = ((CAMERA, "camera"), (LIDAR, "lidar"))

Row = dict[str, Any]
Tables = dict[str, list[Row]]


class TableBuilder:
    """Collects rows; every token follows from the seed and the names of what it stands for."""

    def __init__(self, job: SynthJob) -> None:
        """Start with the tables that are the same in every world."""
        self._job = job
        self.tables: Tables = {
            "category": [
                {"token": self._token("category", name), "name": name, "description": f"Synthetic {name}."}
                for name in CATEGORIES
            ],
            "attribute": [
                {"token": self._token("attribute", name), "name": name, "description": f"Synthetic {name}."}
                for name in _ATTRIBUTES
            ],
            "visibility": [
                {
                    "description": f"visibility of whole object is between {low} and {high}%",
                    "token": level,
                    "level": f"v{low}-{high}",
                }
                for level, low, high in _VISIBILITY
            ],
            "sensor": [
                {"token": self._token("sensor", channel), "channel": channel, "modality": modality}
                for channel, modality in _SENSORS
            ],
        }
        for name in (
            "instance",
            "calibrated_sensor",
            "ego_pose",
            "log",
            "scene",
            "sample",
            "sample_data",
            "sample_annotation",
            "map",
        ):
            self.tables[name] = []
        self._logs: dict[str, str] = {}

    def add_scene(self, record: SceneRecord) -> None:
        """Add the rows of one scene."""
        recording = record.recording
        if recording.logfile not in self._logs:
            self._add_log(record)
        samples = [self._token("sample", recording.scene, index) for index in range(len(record.frames))]
        scene_token = self._token("scene", recording.scene)
        self.tables["scene"].append(
            {
                "token": scene_token,
                "log_token": self._logs[recording.logfile],
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": recording.scene,
                "description": record.description,
            }
        )
        for index, frame in enumerate(record.frames):
            self.tables["sample"].append(
                {
                    "token": samples[index],
                    "timestamp": frame.lidar.timestamp,
                    **_links(samples, index),
                    "scene_token": scene_token,
                }
            )
            for channel, capture in ((CAMERA, frame.camera), (LIDAR, frame.lidar)):
                self._add_capture(record, channel, capture, index, samples)
        for actor, category in enumerate(record.categories):
            if category:
                self._add_instance(record, actor, samples)

    def add_map(self, location: str, filename: str) -> None:
        """Add the map row of a location for the logs recorded there."""
        logs = [row["token"] for row in self.tables["log"] if row["location"] == location]
        self.tables["map"].append(
            {
                "category": "semantic_prior",
                "token": Path(filename).stem,
                "filename": filename,
                "log_tokens": logs,
            }
        )

    def write(self) -> None:
        """Write one JSON file a table."""
        folder = self._job.out / self._job.version
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            write_text(folder / f"{name}.json", "".join(_json_rows(rows)))

    def _token(self, *parts: object) -> str:
        return token(self._job.seed, *parts)

    def _add_log(self, record: SceneRecord) -> None:
        recording = record.recording
        log_token = self._token("log", recording.logfile)
        self._logs[recording.logfile] = log_token
        self.tables["log"].append(
            {
                "token": log_token,
                "logfile": recording.logfile,
                "vehicle": recording.vehicle,
                "date_captured": "2020-09-13",
                "location": recording.location,
            }
        )
        rig = make_rig(recording.vehicle, self._job.image_size)
        for channel, position, rotation, intrinsics in (
            (CAMERA, rig.camera_position, rig.camera_rotation, rig.intrinsics.tolist()),
            (LIDAR, rig.lidar_position, rig.lidar_rotation, []),
        ):
            self.tables["calibrated_sensor"].append(
                {
                    "token": self._token("calibrated_sensor", recording.logfile, channel),
                    "sensor_token": self._token("sensor", channel),
                    "translation": position.tolist(),
                    "rotation": rotation.tolist(),
                    "camera_intrinsic": intrinsics,
                }
            )

    def _add_capture(
        self, record: SceneRecord, channel: str, capture: Capture, index: int, samples: list[str]
    ) -> None:
        tokens = [self._token("sample_data", channel, sample) for sample in samples]
        height, width = self._job.image_size if channel == CAMERA else (0, 0)
        self.tables["ego_pose"].append(
            {
                "token": tokens[index],
                "timestamp": capture.timestamp,
                "rotation": capture.rotation.tolist(),
                "translation": capture.position.tolist(),
            }
        )
        self.tables["sample_data"].append(
            {
                "token": tokens[index],
                "sample_token": samples[index],
                "ego_pose_token": tokens[index],
                "calibrated_sensor_token": self._token(
                    "calibrated_sensor", record.recording.logfile, channel
                ),
                "timestamp": capture.timestamp,
                "fileformat": "jpg" if channel == CAMERA else "pcd",
                "is_key_frame": True,
                "height": height,
                "width": width,
                "filename": capture.file,
                **_links(tokens, index),
            }
        )

    def _add_instance(self, record: SceneRecord, actor: int, samples: list[str]) -> None:
        """Add an instance and its boxes in every frame within range, if any sensor ever met it there."""
        near = [
            index for index, frame in enumerate(record.frames) if frame.distance[actor] < ANNOTATION_RANGE
        ]
        if not any(record.frames[i].lidar_points[actor] or record.frames[i].pixels[actor] for i in near):
            return
        instance = self._token("instance", record.recording.scene, actor)
        tokens = [self._token("sample_annotation", instance, index) for index in near]
        self.tables["instance"].append(
            {
                "token": instance,
                "category_token": self._token("category", record.categories[actor]),
                "nbr_annotations": len(tokens),
                "first_annotation_token": tokens[0],
                "last_annotation_token": tokens[-1],
            }
        )
        attribute = record.attributes[actor]
        for position, index in enumerate(near):
            frame = record.frames[index]
            x, y, heading = frame.poses[actor]
            size = record.sizes[actor]
            self.tables["sample_annotation"].append(
                {
                    "token": tokens[position],
                    "sample_token": samples[index],
                    "instance_token": instance,
                    "visibility_token": _visibility(float(frame.visibility[actor])),
                    "attribute_tokens": [self._token("attribute", attribute)] if attribute else [],
                    "translation": [round(float(x), 3), round(float(y), 3), round(float(size[2]) / 2, 4)],
                    "size": size.tolist(),
                    "rotation": [float(np.cos(heading / 2)), 0.0, 0.0, float(np.sin(heading / 2))],
                    **_links(tokens, position),
                    "num_lidar_pts": int(frame.lidar_points[actor]),
                    "num_radar_pts": 0,
                }
            )


def _links(tokens: list[str], index: int) -> Row:
    return {
        "prev": tokens[index - 1] if index > 0 else "",
        "next": tokens[index + 1] if index + 1 < len(tokens) else "",
    }


def _visibility(share: float) -> str:
    return next((level for level, _, high in _VISIBILITY if 100 * share < high), "4")


def _json_rows(rows: list[Row]) -> Iterator[str]:
    """Return a JSON array with one row per line."""
    yield "[\n"
    for index, row in enumerate(rows):
        yield ("" if index == 0 else ",\n") + json.dumps(row)
    yield "\n]\n"
