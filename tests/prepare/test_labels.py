"""Labels of the real scenes against geometry of the nuScenes devkit and of shapely, cell for cell."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.affinity import affine_transform

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.nuscenes.maps import load_map
from diffbev_engine.nuscenes.tables import Boxes, CameraFrame, Tables
from diffbev_engine.prepare.labels import LabelPlanes, render_label
from diffbev_engine.prepare.lidar import read_sweep
from tests.prepare.plain_pon import coefficients, draw_pon, fill_pon

LAYERS = ("drivable_area", "ped_crossing", "walkway", "carpark_area")
X, Z = np.meshgrid(np.arange(-25, 25, 0.25), np.arange(1, 50, 0.25))


@dataclass
class Devkit:
    """The reference: nuScenes devkit, its maps, and what follows from them for one image."""

    nusc: Any
    maps: dict[str, Any]
    names: Any

    def location(self, sample: dict[str, Any]) -> str:
        scene = self.nusc.get("scene", sample["scene_token"])
        return self.nusc.get("log", scene["log_token"])["location"]

    def world_from(self, token: str) -> np.ndarray:
        from nuscenes.utils.geometry_utils import transform_matrix
        from pyquaternion import Quaternion

        data = self.nusc.get("sample_data", token)
        matrices = [
            transform_matrix(record["translation"], Quaternion(record["rotation"]))
            for record in (
                self.nusc.get("ego_pose", data["ego_pose_token"]),
                self.nusc.get("calibrated_sensor", data["calibrated_sensor_token"]),
            )
        ]
        return matrices[0] @ matrices[1]

    def polygons(self, location: str, layer: str) -> Iterator[shapely.Polygon]:
        found = self.maps[location]
        for area in getattr(found, layer):
            for token in area.get("polygon_tokens") or [area["polygon_token"]]:
                polygon = found.extract_polygon(token)
                if polygon.is_valid:
                    yield polygon

    def footprints(self, token: str) -> Iterator[tuple[int, np.ndarray]]:
        """Plane (14: no class) and (4, 2) world corners of every box."""
        for box in self.nusc.get_boxes(token):
            name = self.names(box.name)
            yield (14 if name is None else CLASSES.index(name)), box.bottom_corners()[:2].T


@pytest.fixture(scope="module")
def devkit(nuscenes_sample: Path) -> Devkit:
    nuscenes = pytest.importorskip("nuscenes.nuscenes")
    from nuscenes.eval.detection.utils import category_to_detection_name
    from nuscenes.map_expansion.map_api import NuScenesMap

    nusc = nuscenes.NuScenes("v1.0-mini", str(nuscenes_sample), verbose=False)
    locations = ("boston-seaport", "singapore-queenstown")
    maps = {name: NuScenesMap(str(nuscenes_sample), name) for name in locations}
    return Devkit(nusc, maps, category_to_detection_name)


@pytest.fixture(scope="module")
def tables(nuscenes_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables.open(nuscenes_sample, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def frames(tables: Tables) -> list[CameraFrame]:
    return tables.frames(("CAM_FRONT",))


def render(tables: Tables, frame: CameraFrame, raster: str) -> LabelPlanes:
    assert frame.lidar is not None
    points = read_sweep(frame.lidar.path)
    return render_label(
        frame, tables.boxes(frame.sample_token), load_map(tables.root, frame.location), points, raster
    )


def bev_map(world_from_camera: np.ndarray) -> np.ndarray:
    return world_from_camera[[0, 1, 3]][:, [0, 2, 3]]


def pon_classes(devkit: Devkit, token: str) -> np.ndarray:
    """The planes by the published recipe, one polygon at a time: (15, 196, 200)."""
    sample = devkit.nusc.get("sample", devkit.nusc.get("sample_data", token)["sample_token"])
    affine = bev_map(devkit.world_from(token))
    inverse = np.linalg.inv(affine)
    patch = affine_transform(shapely.box(-25, 1, 25, 50), coefficients(affine))
    planes = np.zeros((15, 196, 200), np.uint8)
    for plane, layer in enumerate(LAYERS):
        for polygon in devkit.polygons(devkit.location(sample), layer):
            if polygon.intersects(patch):
                draw_pon(planes[plane], affine_transform(polygon.intersection(patch), coefficients(inverse)))
    for plane, corners in devkit.footprints(token):
        fill_pon(planes[plane], corners @ inverse[:2, :2].T + inverse[:2, 2], 1)
    return planes.astype(bool)


def pon_visible(devkit: Devkit, token: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells in view, and cells not hidden from LiDAR."""
    data = devkit.nusc.get("sample_data", token)
    camera = devkit.nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    intrinsics = np.array(camera["camera_intrinsic"])
    u = X / Z * intrinsics[0, 0] + intrinsics[0, 2]
    lidar = devkit.nusc.get("sample", data["sample_token"])["data"]["LIDAR_TOP"]
    points = np.fromfile(devkit.nusc.get_sample_data_path(lidar), np.float32).reshape(-1, 5)[:, :3]
    homogeneous = np.c_[points, np.ones(len(points))]
    inverse = np.linalg.inv(devkit.world_from(token))
    x, _, z, _ = (homogeneous @ devkit.world_from(lidar).T @ inverse.T).T
    farthest = np.zeros(10_000)
    for ray, depth in zip(np.round(x / z / 0.005 + 5000), z, strict=True):
        if depth > 0 and 0 < ray < 10_000:
            farthest[int(ray)] = max(farthest[int(ray)], depth)
    rays = np.round(X / Z / 0.005 + 5000).astype(int)
    return (u >= 0) & (u < data["width"]), farthest[rays] >= Z


@pytest.mark.slow
def test_pon_labels_equal_an_independent_port_cell_for_cell(
    devkit: Devkit, tables: Tables, frames: list[CameraFrame]
):
    assert len(frames) == 81
    for frame in frames:
        label = render(tables, frame, "pon")
        planes = pon_classes(devkit, frame.token)
        in_view, unhidden = pon_visible(devkit, frame.token)
        assert np.array_equal(label.classes, planes[:14]), frame.token
        assert np.array_equal(label.outside_fov, planes[14] | ~in_view), frame.token
        assert np.array_equal(label.ignore, planes[14] | ~in_view | ~unhidden), frame.token


def test_exact_labels_are_what_shapely_finds_at_the_cell_corners(
    devkit: Devkit, tables: Tables, frames: list[CameraFrame]
):
    common, either = np.zeros(15), np.zeros(15)
    for frame in frames[::8]:
        label = render(tables, frame, "exact")
        in_view, unhidden = pon_visible(devkit, frame.token)
        affine = bev_map(devkit.world_from(frame.token))
        corners = np.stack([X, Z, np.ones_like(X)], -1) @ affine.T  # 196 x 200 x (X, Y, 1)
        shapes = shapes_by_plane(devkit, frame, affine)
        for plane in range(14):
            truth = covered(shapes.get(plane, []), corners)
            assert_same_off_edges(label.classes[plane], truth, shapes.get(plane, []), corners)
            common[plane] += (label.classes[plane] & truth).sum()
            either[plane] += (label.classes[plane] | truth).sum()
        outside = covered(shapes.get(14, []), corners) | ~in_view
        assert_same_off_edges(label.outside_fov, outside, shapes.get(14, []), corners)
        assert_same_off_edges(label.ignore, outside | ~unhidden, shapes.get(14, []), corners)
    assert (either > 0).sum() >= 8
    assert (common[either > 0] / either[either > 0] > 0.999).all()


def shapes_by_plane(
    devkit: Devkit, frame: CameraFrame, affine: np.ndarray
) -> dict[int, list[shapely.Polygon]]:
    """World polygons that meet the grid: map layers, boxes, and boxes of no class on plane 14."""
    shapes = {plane: list(devkit.polygons(frame.location, layer)) for plane, layer in enumerate(LAYERS)}
    for plane, footprint in devkit.footprints(frame.token):
        shapes.setdefault(plane, []).append(shapely.Polygon(footprint))
    here = patch(affine)
    return {plane: [shape for shape in found if shape.intersects(here)] for plane, found in shapes.items()}


def covered(shapes: list[shapely.Polygon], corners: np.ndarray) -> np.ndarray:
    inside = np.zeros(X.shape, bool)
    for shape in shapes:
        shapely.prepare(shape)
        inside |= shapely.contains_xy(shape, corners[..., 0], corners[..., 1])
    return inside


def assert_same_off_edges(
    drawn: np.ndarray, truth: np.ndarray, shapes: list[shapely.Polygon], corners: np.ndarray
) -> None:
    """Equal, but for corners within a micrometre of an edge, where either answer is right."""
    for x, y, _ in corners[drawn != truth]:
        assert min(shape.boundary.distance(shapely.Point(x, y)) for shape in shapes) < 1e-6


def patch(affine: np.ndarray) -> shapely.Polygon:
    return affine_transform(shapely.box(-25, 1, 25, 50), coefficients(affine))


def test_real_front_cameras_see_61_percent(tables: Tables, frames: list[CameraFrame]):
    shares = [1 - render(tables, frame, "exact").outside_fov.mean() for frame in frames[::20]]
    assert np.mean(shares) == pytest.approx(0.614, abs=0.01)


def straight_ahead(frame: CameraFrame, distance: float) -> np.ndarray:
    """World position of a point on the optical axis."""
    return (frame.world_from_camera @ [0, 0, distance, 1])[:3]


def one_box(frame: CameraFrame, category: str, distance: float) -> Boxes:
    return Boxes(
        categories=(category,),
        centres=straight_ahead(frame, distance)[None],
        sizes=np.array([[4.0, 4.0, 2.0]]),
        rotations=np.array([[1.0, 0, 0, 0]]),
    )


@pytest.mark.parametrize("raster", ["exact", "pon"])
def test_a_box_of_no_class_is_ignored_and_sets_no_class(
    tables: Tables, frames: list[CameraFrame], raster: str
):
    frame, cell = frames[0], (round((20 - LABEL_GRID.z_min) / 0.25), 100)
    map_layers = load_map(tables.root, frame.location)
    points = np.empty((0, 3), np.float32)
    dog = render_label(frame, one_box(frame, "animal", 20.0), map_layers, points, raster)
    car = render_label(frame, one_box(frame, "vehicle.car", 20.0), map_layers, points, raster)
    assert dog.outside_fov[cell]
    assert not dog.classes[4:, cell[0], cell[1]].any()
    assert not car.outside_fov[cell]
    assert np.flatnonzero(car.classes[4:, cell[0], cell[1]]).tolist() == [0]
    # A box of 4 m covers 16 x 16 cells; PON's edges add up to one row and column.
    assert 15**2 <= car.classes[4].sum() <= 18**2


@pytest.mark.parametrize("raster", ["exact", "pon"])
def test_what_is_behind_the_camera_is_not_drawn(tables: Tables, frames: list[CameraFrame], raster: str):
    frame = frames[0]
    behind = one_box(frame, "vehicle.car", -10.0)
    map_layers = load_map(tables.root, frame.location)
    label = render_label(frame, behind, map_layers, np.empty((0, 3), np.float32), raster)
    assert not label.classes[4:].any()


@pytest.mark.parametrize("raster", ["exact", "pon"])
def test_a_sample_without_boxes_has_only_its_map(tables: Tables, frames: list[CameraFrame], raster: str):
    frame = frames[0]
    none = Boxes((), np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 4)))
    map_layers = load_map(tables.root, frame.location)
    label = render_label(frame, none, map_layers, np.empty((0, 3), np.float32), raster)
    expected = render(tables, frame, raster)
    assert np.array_equal(label.classes[:4], expected.classes[:4])
    assert not label.classes[4:].any()
    assert label.ignore.all()  # nothing is known to be visible without points


def test_a_point_cloud_reveals_cells(tables: Tables, frames: list[CameraFrame]):
    label = render(tables, frames[0], "exact")
    assert 0.1 < 1 - label.ignore.mean() < 1 - label.outside_fov.mean()
    assert (label.ignore | ~label.outside_fov).all()  # out of view is ignored under both masks


def test_an_unknown_raster_is_refused(tables: Tables, frames: list[CameraFrame]):
    with pytest.raises(ValueError, match="exact"):
        render(tables, replace(frames[0]), "convex")
