"""Preparation against plain loops: ``python -m tests.benchmarks.prepare NUSCENES_ROOT``, a Markdown table.

Labels as the scripts of PON make them, polygon after polygon and box after box, and depth as the devkit
projects it; then both by this project. One thread, the same frames in the same run, files written; the best
of five rounds, in milliseconds a frame. The plain labels are checked to be those of ``--raster pon``.
"""

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import shapely
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import transform_matrix
from pyquaternion import Quaternion
from shapely.affinity import affine_transform

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.nuscenes.maps import load_map
from diffbev_engine.nuscenes.tables import CameraFrame, Tables
from diffbev_engine.prepare.depth import project_depth, write_depth
from diffbev_engine.prepare.encoding import read_label, write_label
from diffbev_engine.prepare.labels import render_label
from diffbev_engine.prepare.lidar import read_sweep
from tests.prepare.plain_pon import coefficients, draw_pon, fill_pon

_ROUNDS = 5
_SIZE = (600, 800)
_LAYERS = ("drivable_area", "ped_crossing", "walkway", "carpark_area")
_Draw = Callable[[CameraFrame, Path], None]
"""Makes what belongs to a frame, and writes it under a name without suffix."""
_X, _Z = np.meshgrid(np.arange(-25, 25, 0.25), np.arange(1, 50, 0.25))


class PlainLoop:
    """Labels and depth with the devkit's tables, one thing after the other."""

    def __init__(self, root: Path, version: str, locations: Iterable[str]) -> None:
        self.nusc = NuScenes(version, str(root), verbose=False)
        self.trees = {name: self._trees(NuScenesMap(str(root), name)) for name in locations}

    def _trees(self, found: NuScenesMap) -> list[shapely.STRtree]:
        trees = []
        for layer in _LAYERS:
            areas = getattr(found, layer)
            tokens = [
                token for area in areas for token in area.get("polygon_tokens") or [area["polygon_token"]]
            ]
            polygons = [found.extract_polygon(token) for token in tokens]
            trees.append(shapely.STRtree([polygon for polygon in polygons if polygon.is_valid]))
        return trees

    def _world_from(self, data: dict[str, Any]) -> np.ndarray:
        pose = self.nusc.get("ego_pose", data["ego_pose_token"])
        sensor = self.nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
        world, ego = (
            transform_matrix(each["translation"], Quaternion(each["rotation"])) for each in (pose, sensor)
        )
        return world @ ego

    def label(self, token: str, location: str, path: Path) -> None:
        """Write the label of one image."""
        data = self.nusc.get("sample_data", token)
        world_from_camera = self._world_from(data)
        affine = world_from_camera[[0, 1, 3]][:, [0, 2, 3]]
        inverse = np.linalg.inv(affine)
        patch = affine_transform(shapely.box(-25, 1, 25, 50), coefficients(affine))
        planes = np.zeros((15, *_X.shape), np.uint8)
        for plane, tree in enumerate(self.trees[location]):
            for index in sorted(tree.query(patch)):
                clipped = tree.geometries[index].intersection(patch)
                draw_pon(planes[plane], affine_transform(clipped, coefficients(inverse)))
        for box in self.nusc.get_boxes(token):
            name = category_to_detection_name(box.name)
            plane = 14 if name is None else CLASSES.index(name)
            fill_pon(planes[plane], box.bottom_corners()[:2].T @ inverse[:2, :2].T + inverse[:2, 2], 1)
        outside = planes[14].astype(bool) | ~self._in_view(data)
        hidden = self._hidden(data, world_from_camera)
        label = np.zeros(_X.shape, np.uint16)
        for bit, mask in enumerate((*planes[:14], outside | hidden, outside)):
            label |= mask.astype(np.uint16) << np.uint16(bit)
        cv2.imwrite(str(path), label)

    def _in_view(self, data: dict[str, Any]) -> np.ndarray:
        camera = self.nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
        intrinsics = np.array(camera["camera_intrinsic"])
        u = _X / _Z * intrinsics[0, 0] + intrinsics[0, 2]
        return (u >= 0) & (u < data["width"])

    def _hidden(self, data: dict[str, Any], world_from_camera: np.ndarray) -> np.ndarray:
        sweep = self.nusc.get(
            "sample_data", self.nusc.get("sample", data["sample_token"])["data"]["LIDAR_TOP"]
        )
        points = np.fromfile(Path(self.nusc.dataroot) / sweep["filename"], np.float32).reshape(-1, 5)[:, :3]
        camera_from_lidar = np.linalg.inv(world_from_camera) @ self._world_from(sweep)
        camera = points @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
        camera = camera[camera[:, 2] > 0]
        rays = np.round(camera[:, 0] / camera[:, 2] / 0.005 + 5000)
        kept = (rays > 0) & (rays < 10_000)
        farthest = np.zeros(10_000)
        np.maximum.at(farthest, rays[kept].astype(int), camera[kept, 2])
        return farthest[np.round(_X / _Z / 0.005 + 5000).astype(int)] < _Z

    def depth(self, token: str, path: Path) -> None:
        """Write the depth of one image."""
        data = self.nusc.get("sample_data", token)
        lidar = self.nusc.get("sample", data["sample_token"])["data"]["LIDAR_TOP"]
        pixels, z, _ = self.nusc.explorer.map_pointcloud_to_image(lidar, token)
        height, width = _SIZE
        far_first = np.argsort(-z)
        rows = (pixels[1] * (height / data["height"])).astype(int)[far_first]
        columns = (pixels[0] * (width / data["width"])).astype(int)[far_first]
        near = (z[far_first] >= 1) & (z[far_first] < 50)
        depth = np.zeros(_SIZE, np.float32)
        depth[rows[near], columns[near]] = z[far_first][near]
        np.savez_compressed(path, depth=depth, mask=(depth > 0).astype(np.uint8))


def main(root: Path) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tables = Tables.open(root, cache_dir=folder)
        frames = [frame for frame in tables.frames(tables.cameras_present) if frame.lidar is not None]
        plain = PlainLoop(root, tables.version, {frame.location for frame in frames})

        gc.freeze()  # the devkit's millions of objects are looked through on nobody's account

        def drawn(raster: str) -> _Draw:
            def draw(frame: CameraFrame, path: Path) -> None:
                points = read_sweep(frame.lidar.path)
                boxes, layers = tables.boxes(frame.sample_token), load_map(root, frame.location)
                write_label(
                    path.with_suffix(".png"), render_label(frame, boxes, layers, points, raster).encode()
                )

            return draw

        def project(frame: CameraFrame, path: Path) -> None:
            depth = project_depth(frame, read_sweep(frame.lidar.path), *_SIZE, 1.0, 50.0)
            write_depth(path.with_suffix(".npz"), *depth)

        loop, exact, pon, devkit, ours = _milliseconds(
            {
                "loop": lambda one, path: plain.label(one.token, one.location, path.with_suffix(".png")),
                **{raster: drawn(raster) for raster in ("exact", "pon")},
                "devkit": lambda one, path: plain.depth(one.token, path.with_suffix(".npz")),
                "depth": project,
            },
            frames,
            folder,
        )
        for frame in frames:
            of_loop, of_pon = (
                read_label(folder / name / "0" / f"{frame.token}.png") for name in ("loop", "pon")
            )
            assert np.array_equal(of_loop, of_pon), frame.token
    print(f"{len(frames)} frames, one thread\n\n| | plain loop | this project | ratio |\n|---|---|---|---|")
    for name, slow, fast in (
        ("label, `exact`", loop, exact),
        ("label, `pon`", loop, pon),
        ("depth", devkit, ours),
    ):
        print(f"| {name} | {slow:.2f} ms | {fast:.2f} ms | {slow / fast:.1f} |")


def _milliseconds(ways: dict[str, _Draw], frames: list[CameraFrame], folder: Path) -> list[float]:
    """A frame, by each of the ways, in its best round; all write new files: replacing one may take long."""
    best = dict.fromkeys(ways, float("inf"))
    for number in range(_ROUNDS):
        for name, draw in ways.items():  # one after the other, as a machine may be slower for a while
            place = folder / name / str(number)
            place.mkdir(parents=True)
            started = time.perf_counter()
            for frame in frames:
                draw(frame, place / frame.token)
            best[name] = min(best[name], (time.perf_counter() - started) / len(frames) * 1e3)
    return list(best.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
