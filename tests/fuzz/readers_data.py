"""nuScenes, and the data root that is made of it."""

import contextlib
import io
import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader, check_shown

_UNIT = [1.0, 0.0, 0.0, 0.0]
_POSE = {"translation": [1.0, 2.0, 3.0], "rotation": _UNIT}
_DATA = {"ego_pose_token": "e", "timestamp": 5, "is_key_frame": True, "width": 160, "height": 90}
TABLES: dict[str, list[dict[str, Any]]] = {
    "log": [{"token": "l", "location": "boston-seaport"}],
    "scene": [{"token": "s", "name": "scene-0001", "log_token": "l"}],
    "sample": [{"token": "m", "timestamp": 5, "scene_token": "s"}],
    "sensor": [
        {"token": "c", "channel": "CAM_FRONT", "modality": "camera"},
        {"token": "r", "channel": "LIDAR_TOP", "modality": "lidar"},
    ],
    "calibrated_sensor": [
        {
            "token": "k",
            "sensor_token": "c",
            **_POSE,
            "camera_intrinsic": [[99, 0, 80], [0, 99, 45], [0, 0, 1]],
        },
        {"token": "q", "sensor_token": "r", **_POSE, "camera_intrinsic": []},
    ],
    "ego_pose": [{"token": "e", **_POSE, "timestamp": 5}],
    "sample_data": [
        {
            "token": "f",
            "sample_token": "m",
            "calibrated_sensor_token": "k",
            "filename": "samples/a.jpg",
            **_DATA,
        },
        {
            "token": "g",
            "sample_token": "m",
            "calibrated_sensor_token": "q",
            "filename": "samples/a.bin",
            **_DATA,
        },
    ],
    "category": [{"token": "y", "name": "vehicle.car"}],
    "instance": [{"token": "i", "category_token": "y"}],
    "sample_annotation": [
        {"token": "a", "sample_token": "m", "instance_token": "i", **_POSE, "size": [2, 4, 1.5]}
    ],
}
"""One frame of a world that nobody saw."""
_VERSION = "v1.0-mini"


def _prepare_tables(scratch: Path) -> None:
    for name, rows in TABLES.items():
        (scratch / _VERSION / f"{name}.json").write_text(json.dumps(rows))


def _read_tables(path: Path) -> None:
    """All of them, since a damaged one shows where another refers to it; then frames and boxes."""
    from diffbev_engine.nuscenes.index import build_index
    from diffbev_engine.nuscenes.tables import Tables

    tables = Tables(path.parents[1], _VERSION, build_index(path.parent))
    for frame in tables.frames(tables.cameras_present):
        tables.boxes(frame.sample_token)
        check_shown(frame.scene, frame.camera)
    tables.unannotated_scenes()


def _index_seeds() -> Sequence[bytes]:
    return [_index_file()]


@cache
def _index_file() -> bytes:
    from tempfile import TemporaryDirectory

    from diffbev_engine.nuscenes.cache import open_index

    with TemporaryDirectory() as folder:
        (Path(folder) / _VERSION).mkdir()
        _prepare_tables(Path(folder))
        open_index(Path(folder) / _VERSION)
        return (Path(folder) / _VERSION / ".diffbev_index.npz").read_bytes()


def _read_index(path: Path) -> None:
    from diffbev_engine.nuscenes.cache import _fingerprint, _load
    from diffbev_engine.nuscenes.tables import Tables

    stored, why = _load(path, _stored_fingerprint())
    check_shown(why)
    if stored is not None:
        tables = Tables(path.parent, _VERSION, stored)
        for frame in tables.frames(tables.cameras_present):
            tables.boxes(frame.sample_token)
        tables.unannotated_scenes()
    assert _fingerprint


@cache
def _stored_fingerprint() -> Any:
    import numpy as np

    return np.load(io.BytesIO(_index_file()))["fingerprint"]


def _read_map(path: Path) -> None:
    from diffbev_engine.nuscenes.maps import load_map

    load_map.cache_clear()
    load_map(path.parents[2], path.stem)


def _map_seeds() -> Sequence[bytes]:
    corners = ((0, 0), (0, 9), (9, 9), (9, 0), (3, 3), (3, 4), (4, 4))
    nodes = [{"token": f"n{at}", "x": x, "y": y} for at, (x, y) in enumerate(corners)]
    hole = {"node_tokens": ["n4", "n5", "n6"]}
    polygon = {"token": "p", "exterior_node_tokens": ["n0", "n1", "n2", "n3"], "holes": [hole]}
    content: dict[str, Any] = {"version": "1.3", "node": nodes, "polygon": [polygon]}
    content |= {"drivable_area": [{"polygon_tokens": ["p"]}], "walkway": [{"polygon_token": "p"}]}
    return [json.dumps({**content, "ped_crossing": [], "carpark_area": []}).encode()]


def _read_register(path: Path) -> None:
    """As the dataset, ``preflight`` and the checks of the runbook do."""
    from diffbev_engine.dataset.records import RecordMaker, read_provenance
    from diffbev_engine.prepare.data_root import DataRoot
    from diffbev_engine.runbook.files import one_file_per_sample

    root = DataRoot(path.parent)
    entries = {entry.token: entry for entry in root.read_index()}
    calibration = root.read_calib()
    read_provenance(path.parent)
    make = RecordMaker(root, "train", calibration, entries)
    for token in calibration:
        make(token, path, path)
    one_file_per_sample(path.parent, "train", path.parent, ".png", "")


def _prepare_registers(scratch: Path) -> None:
    for name, seed in _REGISTERS.items():
        (scratch / name).write_bytes(seed)
    (scratch / "img_dir/train").mkdir(parents=True)


_ENTRY = {"token": "t", "camera": "CAM_FRONT", "scene": "s", "sample": "m", "timestamp": 5, "location": "l"}
_ENTRY |= {"split": "train", "unlabelled": ["walkway"]}
_RECORD = {
    "version": "v1.0-mini",
    "split": "pon",
    "cameras": ["CAM_FRONT"],
    "raster": "pon",
    "complete": True,
}
_RECORD |= {
    "map_version": "1.3",
    "image_sizes": {"CAM_FRONT": [160, 90]},
    "skipped": {},
    "images": {"train": 1},
}
_REGISTERS = {
    "index.jsonl": b"\n".join(json.dumps({**_ENTRY, "token": token}).encode() for token in "tuv") + b"\n",
    "calib.json": json.dumps({"t": [[99.0, 0, 80], [0, 99, 45], [0, 0, 1]]}).encode(),
    "prepare.json": json.dumps({**_RECORD, "scenes": {"s": "train"}}).encode(),
}


def _read_depth_settings(path: Path) -> None:
    from diffbev_engine.core.state_file import decode_file
    from diffbev_engine.prepare.prepare_depth import _SETTINGS, _in_words

    if (settings := decode_file(path, _SETTINGS).value) is not None:
        check_shown(_in_words(settings))


def _read_depth(path: Path) -> None:
    from diffbev_engine.findings.depth_coverage import depth_coverage
    from diffbev_engine.prepare.depth import read_depth

    depth_coverage(path.parent, {path.stem: "CAM_FRONT"}, (24, 32)).describe()
    assert read_depth(path, (24, 32)).shape == (24, 32)


def _depth_seeds() -> Sequence[bytes]:
    from tempfile import TemporaryDirectory

    import numpy as np

    from diffbev_engine.prepare.depth import empty_depth, write_depth

    depth, mask = empty_depth(24, 32)
    depth[3, 5], mask[3, 5] = 12.5, 1
    made = io.BytesIO()
    np.savez(made, depth=depth, mask=mask)  # as other tools write it
    with TemporaryDirectory() as folder:
        write_depth(Path(folder) / "a.npz", depth, mask)
        return [(Path(folder) / "a.npz").read_bytes(), made.getvalue()]


def _read_label(path: Path) -> None:
    from diffbev_engine.prepare.encoding import decode_label, read_label

    decode_label(read_label(path, (24, 32)))


def _label_seeds() -> Sequence[bytes]:
    import cv2
    import numpy as np

    label = np.zeros((24, 32), np.uint16)
    label[3:9, 5:8] = 0x8005
    return [
        _encoded(".png", label),
        _encoded(".png", label.astype(np.uint8)),
        cv2.imencode(".png", label)[1].tobytes(),
    ]


def _encoded(suffix: str, image: Any) -> bytes:
    import cv2

    return bytes(cv2.imencode(suffix, image)[1].tobytes())


def _read_image(path: Path) -> None:
    from diffbev_engine.prepare.image_file import image_size, read_image

    width, height = image_size(path)
    assert read_image(path).size <= 3 * max(width * height, 1)


def _check_image(path: Path) -> None:
    import numpy as np

    from diffbev_engine.nuscenes.tables import CameraFrame
    from diffbev_engine.prepare.images import check_image

    unit = np.eye(4)
    check_image(CameraFrame("t", "m", "s", "l", "CAM_FRONT", 5, path, 32, 24, np.eye(3), unit, unit, None))


def _image_seeds() -> Sequence[bytes]:
    import numpy as np

    image = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    return [_encoded(".jpg", image), _encoded(".png", image)]


def _read_sweep(path: Path) -> None:
    from diffbev_engine.prepare.lidar import read_sweep

    read_sweep(path)


def _table(name: str) -> Reader:
    seeds = partial(lambda rows: [json.dumps(rows).encode()], TABLES[name])
    file = f"{_VERSION}/{name}.json"
    return Reader(f"{name}.json", file, seeds, _read_tables, "json", prepare=_prepare_tables, cheap=False)


def _register(name: str) -> Reader:
    form = "lines" if name.endswith("l") else "json"
    seeds = partial(lambda content: [content], _REGISTERS[name])
    return Reader(name, name, seeds, _read_register, form, prepare=_prepare_registers)


_SETTINGS = b'{"height": 600, "width": 800, "min_depth": 1.0, "max_depth": 50.0}'
_JPEG = partial(lambda: _image_seeds()[:1])

_CALIBRATIONS = (
    b"%YAML:1.0\n---\nimage_width: 9\nimage_height: 6\ncamera_matrix: !!opencv-matrix\n   rows: 3\n"
    b"   cols: 3\n   dt: d\n   data: [ 8., 0., 4., 0., 8., 3., 0., 0., 1. ]\n"
    b"distortion_coefficients: !!opencv-matrix\n   data: [ -0.1, 0., 0., 0. ]\n",
    b"height: 6\nwidth: 9\ndistortion_model: equidistant\n"
    b"D: [0.1, 0.0, 0, 0]\nK: [8, 0, 4, 0, 8, 3, 0, 0, 1]\n",
    b"# Camera list\n1 SIMPLE_RADIAL 9 6 8 4 3 0.1\n",
)


def _read_calibration(path: Path) -> None:
    from diffbev_engine.predict.calibration import read_calibration

    camera = read_calibration(path)("any")
    with contextlib.suppress(ValueError):  # the shape of the image
        camera.scaled_to(9, 6)


READERS = (
    Reader("calibration", "camera.yaml", lambda: _CALIBRATIONS, _read_calibration, cheap=False),
    *map(_register, _REGISTERS),
    *map(_table, TABLES),
    Reader("table index", "index.npz", _index_seeds, _read_index, form="zip", cheap=False),
    Reader("map", "maps/expansion/boston-seaport.json", _map_seeds, _read_map, form="json", cheap=False),
    Reader("depth", "depth.npz", _depth_seeds, _read_depth, form="zip", cheap=False),
    Reader("depth settings", "settings.json", lambda: [_SETTINGS], _read_depth_settings, form="json"),
    Reader("label", "label.png", _label_seeds, _read_label, form="png"),
    Reader("image", "image.jpg", _image_seeds, _read_image, form="png"),
    Reader("image to prepare", "image.jpg", _JPEG, _check_image, form="bytes"),
    Reader("LiDAR sweep", "sweep.bin", lambda: [bytes(range(1, 201)), bytes(400)], _read_sweep, form="bytes"),
)
