"""The picture, the sweep, the boxes and the map show one and the same world."""

import cv2
import numpy as np
import pytest

from diffbev_engine.synth.actors import footprints
from diffbev_engine.synth.camera import CameraRays, View, look
from diffbev_engine.synth.ground import ground_albedo, make_texture
from diffbev_engine.synth.lidar import RANGE, Sweep, scan
from diffbev_engine.synth.lidarunit import MAX_ERROR, draw_lidar_unit
from diffbev_engine.synth.names import generator
from diffbev_engine.synth.paint import draw_palette, paint_ground
from diffbev_engine.synth.rig import VEHICLES, ego_pose, make_rig, transform
from diffbev_engine.synth.world import build_site, populate

SHAPE = (225, 400)
TIMES = (0.0, 1.5)


class Stage:
    def __init__(self, number: int) -> None:
        scene = f"scene-{number:04d}"
        self.world = populate(build_site(3, scene, 6, number % 2 == 1, (300.0, 300.0)), 3, scene)
        site, rng = self.world.site, generator(3, scene, "paint")
        self.palette = draw_palette(rng)
        self.ground = paint_ground(site.street, site.polygons, site.travel, self.palette, rng)
        self.rig = make_rig(VEHICLES[2 + number], SHAPE)
        self.unit = draw_lidar_unit(generator(3, self.rig.vehicle, "lidar"))

    def camera(self, time: float) -> np.ndarray:
        position, rotation = ego_pose(self.world.ego_pose_at(time), time)
        return transform(rotation, position) @ self.rig.ego_from_camera

    def view(self, time: float, lead: float = 0.04) -> View:
        rays = CameraRays(self.camera(time - lead), self.rig.intrinsics, SHAPE)
        return look(self.world.solids_at(time), rays, self.world.annotated)

    def sweep(self, time: float) -> tuple[Sweep, np.ndarray]:
        """A turn of the LiDAR and its 4x4 pose."""
        position, rotation = ego_pose(self.world.ego_pose_at(time), time)
        pose = transform(rotation, position) @ self.rig.ego_from_lidar
        rng = np.random.default_rng(0)
        solids = self.world.solids_at(time)
        return scan(solids, pose, self.world.annotated, self.ground, self.unit, 300.0, rng), pose

    def project(self, points: np.ndarray, time: float, lead: float = 0.04) -> np.ndarray:
        """Pixel coordinates and depth (..., 3) of world points, by the textbook."""
        camera_from_world = np.linalg.inv(self.camera(time - lead))
        local = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        pixel = local @ self.rig.intrinsics.T
        return np.concatenate([pixel[..., :2] / pixel[..., 2:], local[..., 2:]], axis=-1)


@pytest.fixture(scope="module", params=[0, 1])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param)


@pytest.mark.parametrize("time", TIMES)
def test_projected_boxes_surround_the_pixels_of_their_objects(stage: Stage, time: float):
    view, world = stage.view(time), stage.world
    poses = world.solids_at(time).poses
    actor = np.where(view.objects, world.table.actor[view.hits.solid], -1)
    checked = 0
    for index in np.nonzero(world.annotated)[0]:
        rows, columns = np.nonzero(actor == index)
        base = footprints(poses[index], tuple(world.sizes[index]))
        corners = np.concatenate([np.c_[base, np.zeros(4)], np.c_[base, np.full(4, world.sizes[index][2])]])
        pixel = stage.project(corners, time)
        if len(rows) < 4 or pixel[:, 2].min() < 0.5:
            continue
        (left, top), (right, bottom) = pixel[:, :2].min(axis=0), pixel[:, :2].max(axis=0)
        assert left - 0.51 <= columns.min() + 0.5
        assert columns.max() + 0.5 <= right + 0.51
        assert top - 0.51 <= rows.min() + 0.5
        assert rows.max() + 0.5 <= bottom + 0.51
        if view.hits.seen[index] == view.hits.reachable[index] and left > 2 and right < SHAPE[1] - 2:
            # Unhidden: the box is not much larger than what it surrounds.
            assert columns.max() - columns.min() + 3 > 0.6 * (right - left)
        checked += 1
    assert checked > 10


@pytest.mark.parametrize("time", TIMES)
def test_lidar_points_have_the_depth_of_the_picture(stage: Stage, time: float):
    # Both sensors at one place in time here; the objects stand still between the sensors anyway.
    view, (sweep, world_from_lidar) = stage.view(time), stage.sweep(time)
    points = sweep.points[:, :3] @ world_from_lidar[:3, :3].T + world_from_lidar[:3, 3]
    pixel = stage.project(points, time)
    column, row = np.floor(pixel[:, 0]).astype(int), np.floor(pixel[:, 1]).astype(int)
    inside = (pixel[:, 2] > 1) & (column >= 1) & (column < SHAPE[1] - 1) & (row >= 1) & (row < SHAPE[0] - 1)
    column, row, depth, actor = column[inside], row[inside], pixel[inside, 2], sweep.actor[inside]
    seen = np.where(view.objects, stage.world.table.actor[view.hits.solid], -1)[row, column]
    expected = 1 / np.maximum(view.inverse_depth[row, column], 1e-6)
    # A LiDAR above the camera sees some ground and walls that the camera does not, and the other way round.
    same = (seen == actor) & (actor >= 0)
    assert same.sum() > 200
    assert np.median(np.abs(depth - expected)[same]) < 3 * stage.unit.sigma
    assert (np.abs(depth - expected)[same] < 0.25).mean() > 0.9
    ground = (seen == -1) & (actor == -1)
    assert ground.sum() > 500
    # One pixel of ground covers a stretch of depth.
    height = stage.rig.camera_position[2]
    stretch = depth**2 / (stage.rig.intrinsics[0, 0] * height)
    assert (np.abs(depth - expected)[ground] < stretch[ground] + 4 * stage.unit.sigma).mean() > 0.99


def test_lidar_points_lie_on_the_surface_of_their_objects(stage: Stage):
    world, solids = stage.world, stage.world.solids_at(0.5)
    sweep, pose = stage.sweep(0.5)
    points = sweep.points[:, :3].astype(float) @ pose[:3, :3].T + pose[:3, 3]
    assert sweep.points.dtype == np.float32
    assert sweep.points.shape[1] == 5
    assert 15_000 < len(points) < 35_000
    assert np.linalg.norm(sweep.points[:, :3], axis=1).max() < RANGE + MAX_ERROR + 1e-3
    assert set(np.unique(sweep.points[:, 4])) <= set(range(32))
    assert np.abs(points[sweep.actor == -1, 2]).max() < MAX_ERROR + 1e-3
    for index in np.unique(sweep.actor[sweep.actor >= 0]):
        mine = points[sweep.actor == index]
        distances = []
        for solid in np.nonzero(world.table.actor == index)[0]:
            planes = slice(0, world.table.planes[solid])
            # Signed distance to a convex solid, exact where the nearest point lies on a face.
            distances.append(
                (mine @ solids.normals[solid, planes].T - solids.offsets[solid, planes]).max(axis=1)
            )
        assert np.abs(np.min(distances, axis=0)).max() < MAX_ERROR + 1e-3
        if world.annotated[index]:
            cos, sin = np.cos(solids.poses[index, 2]), np.sin(solids.poses[index, 2])
            flat = (mine[:, :2] - solids.poses[index, :2]) @ np.array([[cos, -sin], [sin, cos]])
            width, length, height = world.sizes[index]
            assert (np.abs(flat) <= [length / 2, width / 2]).all()
            assert (mine[:, 2] <= height).all()


def test_ground_in_the_picture_has_the_colour_of_its_map_class(stage: Stage):
    # From a mast that looks down on the street: nothing hides the ground.
    texture = make_texture(stage.ground, np.random.default_rng(0))
    mast = stage.camera(0.0)
    mast[2, 3] = 12.0
    down = np.radians(30)
    turn = np.array([[1, 0, 0], [0, np.cos(down), np.sin(down)], [0, -np.sin(down), np.cos(down)]])
    mast[:3, :3] = mast[:3, :3] @ turn
    rays = CameraRays(mast, stage.rig.intrinsics, SHAPE)
    columns, rows = np.meshgrid(rays.columns, rays.rows)
    direction = rays.directions(rows, columns)
    first_row = int(np.argmax((direction[..., 2] < -0.25).all(axis=1)))
    depth = -rays.origin[2] / direction[first_row:, :, 2]
    points = rays.origin[:2] + depth[..., None] * direction[first_row:, :, :2]
    albedo = ground_albedo(texture, rays, first_row, stage.rig.intrinsics[0, 0])
    polygons, palette = stage.world.site.polygons, stage.palette
    classes = {"walkway": polygons.walkways, "asphalt": [polygons.road], "car_park": polygons.car_parks}
    checked = []
    for name, members in classes.items():
        within = _within(points, members)
        # Away from kerbs; paint and wear are less than half of what is left.
        within = cv2.erode(within.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        if within.sum() > 150:
            colour = np.median(albedo[within], axis=0)
            np.testing.assert_allclose(colour, getattr(palette, name)[:3], atol=15)
            checked.append(name)
    assert "walkway" in checked
    assert "asphalt" in checked


def _within(points: np.ndarray, polygons) -> np.ndarray:
    flat = points.reshape(-1, 2)
    within = np.zeros(len(flat), bool)
    for polygon in polygons:
        inside = _contains(polygon.exterior, flat)
        for hole in polygon.holes:
            inside &= ~_contains(hole, flat)
        within |= inside
    return within.reshape(points.shape[:2])


def _contains(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Even-odd rule."""
    inside = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crosses = (ay > points[:, 1]) != (by > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            at = ax + (points[:, 1] - ay) / (by - ay) * (bx - ax)
        inside ^= crosses & (points[:, 0] < at)
    return inside


def test_the_camera_moves_between_its_own_and_the_lidar_moment(stage: Stage):
    ego_from_ego = np.linalg.inv(stage.camera(1.5)) @ stage.camera(1.46)
    moved = np.linalg.norm(ego_from_ego[:3, 3])
    assert moved == pytest.approx(0.04 * stage.world.site.ego.speed_s, rel=0.1)
