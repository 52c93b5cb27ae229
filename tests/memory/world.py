"""A nuScenes root with the counts of v1.0-trainval, or a share of them.

All tables are real in size and form. Images and sweeps are hard links to a few small files.
"""

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from diffbev_engine.core.classes import CAMERAS
from diffbev_engine.nuscenes.split_scenes import OFFICIAL_TRAIN, OFFICIAL_VAL
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.synthesize import synthesize
from diffbev_engine.synth.tables import CATEGORIES

VERSION = "v1.0-trainval"
SCENES, SAMPLES = 850, 34_149
SAMPLE_DATA, BOXES, INSTANCES = 2_631_083, 1_166_187, 64_386
_RADARS = ("RADAR_FRONT", "RADAR_FRONT_LEFT", "RADAR_FRONT_RIGHT", "RADAR_BACK_LEFT", "RADAR_BACK_RIGHT")
CHANNELS = (*CAMERAS, "LIDAR_TOP", *_RADARS)
_LINKS_PER_FILE = 20_000  # ext4 allows 65,000 names for a file; `prepare` adds one for each
IMAGE_SIZE = (90, 160)
_POINTS = 500


def make_world(root: Path, share: float) -> int:
    """Write the tables, a map, images and sweeps; returns the number of samples."""
    scenes = max(2, round(SCENES * share))
    val = max(1, round(len(OFFICIAL_VAL) * share))
    names = sorted([*sorted(OFFICIAL_VAL)[:val], *sorted(OFFICIAL_TRAIN)[: scenes - val]])
    samples = round(SAMPLES * scenes / SCENES)
    seed = root / "seed"
    synthesize(SynthJob(seed, scenes=2, samples_per_scene=1, image_size=IMAGE_SIZE))
    shutil.move(seed / "maps", root / "maps")
    location = sorted((root / "maps" / "expansion").glob("*.json"))[0].stem
    folder = root / VERSION
    folder.mkdir()
    per_scene = [samples * (number + 1) // scenes - samples * number // scenes for number in range(scenes)]
    scene_of = [scene for scene, count in enumerate(per_scene) for _ in range(count)]
    _write_small(folder, names, location)
    _write_rows(
        folder / "sample.json",
        (_SAMPLE % (_token("s", n), _time(n), _token("scene", scene)) for n, scene in enumerate(scene_of)),
    )
    _write_sample_data(folder, scene_of)
    _write_boxes(folder, samples)
    _link_files(root, seed, samples)
    shutil.rmtree(seed)
    return samples


def link_many(source: Path, targets: Iterable[Path]) -> None:
    """Many names for a few copies of ``source``."""
    original = source
    for number, target in enumerate(targets):
        if number % _LINKS_PER_FILE == 0:
            original = target
            shutil.copyfile(source, target)
        else:
            os.link(original, target)


_SAMPLE = '{\n"token": "%s",\n"timestamp": %d,\n"prev": "",\n"next": "",\n"scene_token": "%s"\n}'
_DATA = (
    '{\n"token": "%s",\n"sample_token": "%s",\n"ego_pose_token": "%s",\n"calibrated_sensor_token": "%s",\n'
    '"timestamp": %d,\n"fileformat": "%s",\n"is_key_frame": %s,\n"height": %d,\n"width": %d,\n'
    '"filename": "%s",\n"prev": "%s",\n"next": "%s"\n}'
)
_POSE = (
    '{\n"token": "%s",\n"timestamp": %d,\n"rotation": [\n0.5720320396729045,\n-0.0016977771610471074,\n'
    '0.011798001930183783,\n-0.8201446642457809\n],\n"translation": [\n%.12f,\n%.12f,\n0.0\n]\n}'
)
_BOX = (
    '{\n"token": "%s",\n"sample_token": "%s",\n"instance_token": "%s",\n"visibility_token": "4",\n'
    '"attribute_tokens": [\n"4d8821270b4a47e3a8a300cbec48188e"\n],\n"translation": [\n%.3f,\n%.3f,\n1.0\n],\n'
    '"size": [\n0.621,\n0.669,\n1.642\n],\n"rotation": [\n0.9831098797903927,\n0.0,\n0.0,\n'
    '-0.18301629506281616\n],\n"prev": "%s",\n"next": "%s",\n"num_lidar_pts": 1,\n"num_radar_pts": 0\n}'
)


def _token(kind: str, number: int) -> str:
    return hashlib.md5(f"{kind}{number}".encode()).hexdigest()


def _time(sample: int) -> int:
    return 1_532_402_927_612_460 + sample * 500_000


def _filename(folder: str, channel: str, time: int) -> str:
    ending = ".jpg" if channel.startswith("CAM") else ".pcd.bin" if channel == "LIDAR_TOP" else ".pcd"
    return f"{folder}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__{time}{ending}"


def _write_rows(path: Path, rows: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n")
        for number, row in enumerate(rows):
            file.write((",\n" if number else "") + row)
        file.write("\n]")


def _write_small(folder: Path, names: list[str], location: str) -> None:
    logs = max(1, len(names) // 12)
    rig = [
        {
            "token": _token("calibrated", scene * len(CHANNELS) + number),
            "sensor_token": _token("sensor", number),
            "translation": [1.7, 0.0, 1.5],
            "rotation": [0.5, -0.5, 0.5, -0.5] if number < len(CAMERAS) else [1.0, 0.0, 0.0, 0.0],
            "camera_intrinsic": [[126.6, 0.0, 80.0], [0.0, 126.6, 45.0], [0.0, 0.0, 1.0]]
            if number < len(CAMERAS)
            else [],
        }
        for scene in range(len(names))
        for number in range(len(CHANNELS))
    ]
    scenes = [
        {"token": _token("scene", number), "log_token": _token("log", number % logs), "name": name}
        for number, name in enumerate(names)
    ]
    modality = ["camera"] * len(CAMERAS) + ["lidar"] + ["radar"] * len(_RADARS)
    tables: dict[str, list[dict[str, object]]] = {
        "log": [{"token": _token("log", number), "location": location} for number in range(logs)],
        "scene": [{**scene, "nbr_samples": 40, "description": "synthetic"} for scene in scenes],
        "sensor": [
            {"token": _token("sensor", number), "channel": channel, "modality": modality[number]}
            for number, channel in enumerate(CHANNELS)
        ],
        "calibrated_sensor": rig,
        "category": [{"token": _token("cat", n), "name": name} for n, name in enumerate(CATEGORIES)],
        "instance": [
            {"token": _token("inst", n), "category_token": _token("cat", n % len(CATEGORIES))}
            for n in range(round(INSTANCES * len(names) / SCENES))
        ],
        "attribute": [],
        "visibility": [],
        "map": [],
    }
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))


def _write_sample_data(folder: Path, scene_of: list[int]) -> None:
    """Key frames of all sensors, and the sweeps between them; a pose for each."""
    samples = len(scene_of)
    sweeps = round(SAMPLE_DATA * samples / SAMPLES) - samples * len(CHANNELS)
    with (folder / "ego_pose.json").open("w", encoding="utf-8") as poses:
        poses.write("[\n")
        numbers = itertools.count()

        def row(sample: int, channel: int, later: int, key: bool) -> str:
            number = next(numbers)
            token, time = _token("d", number), _time(sample) + 1000 * later
            x, y = 300 + number % 5000 / 10, 300 + sample % 1000 / 2
            poses.write((",\n" if number else "") + _POSE % (token, time, x, y))
            name = CHANNELS[channel]
            height, width = IMAGE_SIZE if channel < len(CAMERAS) else (0, 0)
            return _DATA % (
                token,
                _token("s", sample),
                token,
                _token("calibrated", scene_of[sample] * len(CHANNELS) + channel),
                time,
                "jpg" if channel < len(CAMERAS) else "pcd",
                "true" if key else "false",
                height,
                width,
                _filename("samples" if key else "sweeps", name, time),
                _token("d", number - 1) if number else "",
                _token("d", number + 1),
            )

        keys = (
            row(sample, channel, 0, True) for sample in range(samples) for channel in range(len(CHANNELS))
        )
        between = (
            row(number % samples, number % len(CHANNELS), 1 + number // samples, False)
            for number in range(sweeps)
        )
        _write_rows(folder / "sample_data.json", itertools.chain(keys, between))
        poses.write("\n]")


def _write_boxes(folder: Path, samples: int) -> None:
    boxes, instances = round(BOXES * samples / SAMPLES), max(1, round(INSTANCES * samples / SAMPLES) - 1)
    _write_rows(
        folder / "sample_annotation.json",
        (
            _BOX
            % (
                _token("a", number),
                _token("s", number * samples // boxes),
                _token("inst", number % instances),
                300 + number % 60,
                300 + number % 500,
                _token("a", number - 1),
                _token("a", number + 1),
            )
            for number in range(boxes)
        ),
    )


def _link_files(root: Path, seed: Path, samples: int) -> None:
    image = next((seed / "samples" / "CAM_FRONT").iterdir())
    sweep = root / "seed" / "sweep.bin"
    points = np.fromfile(next((seed / "samples" / "LIDAR_TOP").iterdir()), "<f4").reshape(-1, 5)
    points[:: len(points) // _POINTS].tofile(sweep)
    name: Callable[[str, int], Path] = lambda channel, n: root / _filename("samples", channel, _time(n))  # noqa: E731
    for channel in (*CAMERAS, "LIDAR_TOP"):
        (root / "samples" / channel).mkdir(parents=True)
        link_many(sweep if channel == "LIDAR_TOP" else image, (name(channel, n) for n in range(samples)))
