"""Records one scene: drives the ego vehicle along, writes images and sweeps, notes what was seen."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.core.files import write_bytes
from diffbev_engine.synth.camera import CameraRays, look
from diffbev_engine.synth.ground import make_texture
from diffbev_engine.synth.imager import Imager, draw_imager, expose, noise_tile
from diffbev_engine.synth.itinerary import Recording
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.lidar import scan
from diffbev_engine.synth.lidarunit import LidarUnit, draw_lidar_unit
from diffbev_engine.synth.light import draw_light
from diffbev_engine.synth.names import generator
from diffbev_engine.synth.paint import draw_palette, paint_ground
from diffbev_engine.synth.raster import Raster
from diffbev_engine.synth.rig import Rig, ego_pose, make_rig, transform
from diffbev_engine.synth.shading import Studio, make_studio, photograph
from diffbev_engine.synth.world import SAMPLE_PERIOD, World, build_site, populate

CAMERA, LIDAR = "CAM_FRONT", "LIDAR_TOP"
_CAMERA_LEAD = 0.036  # seconds: the camera fires before the LiDAR has come round, as in nuScenes
_MIN_PIXELS = 30  # fewer pixels say nothing about visibility


@dataclass(frozen=True)
class Capture:
    """One sensor reading: its file, its time and where the ego vehicle was."""

    file: str
    """Path below the nuScenes root."""
    timestamp: int
    """Microseconds."""
    position: np.ndarray
    """(3,) of the ego vehicle in the world, metres."""
    rotation: np.ndarray
    """Unit quaternion w, x, y, z: world from ego."""


@dataclass(frozen=True)
class Frame:
    """One key-frame.  Arrays are over the actors of the scene."""

    camera: Capture
    lidar: Capture
    poses: np.ndarray
    """(A, 3) x, y, heading."""
    distance: np.ndarray
    """(A,) metres from the ego vehicle."""
    lidar_points: np.ndarray
    """(A,) returns that are on the actor."""
    pixels: np.ndarray
    """(A,) image pixels that show the actor."""
    visibility: np.ndarray
    """(A,) share of the actor that is not hidden, 0 to 1."""


@dataclass(frozen=True)
class SceneRecord:
    """All that the tables need to know of one scene."""

    recording: Recording
    description: str
    categories: tuple[str, ...]
    """Of the actors; "" for scenery."""
    attributes: tuple[str, ...]
    sizes: np.ndarray
    """(A, 3) width, length, height, metres."""
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class _Set:
    """The stage of one scene."""

    world: World
    ground: Raster
    studio: Studio
    rig: Rig
    imager: Imager
    noise: np.ndarray
    """What ``imager.noise_tile`` made."""
    lidar: LidarUnit


def record_scene(job: SynthJob, recording: Recording) -> SceneRecord:
    """Write the images and sweeps of one scene below ``job.out`` and return its record."""
    stage = _build(job, recording)
    rng = generator(job.seed, recording.scene, "sensors")
    frames = tuple(_record_frame(job, recording, stage, index, rng) for index in range(job.samples_per_scene))
    actors = stage.world.actors
    return SceneRecord(
        recording=recording,
        description=_describe(stage, recording),
        categories=tuple(actor.body.category for actor in actors),
        attributes=tuple(actor.attribute for actor in actors),
        sizes=stage.world.sizes,
        frames=frames,
    )


def _build(job: SynthJob, recording: Recording) -> _Set:
    scene = recording.scene
    site = build_site(job.seed, scene, job.samples_per_scene, recording.mirrored, recording.centre)
    world = populate(site, job.seed, scene)
    paint = generator(job.seed, scene, "paint")
    ground = paint_ground(site.street, site.polygons, site.travel, draw_palette(paint), paint)
    light = draw_light(generator(job.seed, scene, "light"), recording.weather)
    texture = make_texture(ground, paint)
    return _Set(
        world=world,
        ground=ground,
        studio=make_studio(light, texture, world, paint),
        rig=make_rig(recording.vehicle, job.image_size),
        # The same vehicle carries the same sensors in every scene.
        imager=draw_imager(generator(job.seed, recording.vehicle, "camera")),
        noise=noise_tile(job.image_size, paint),
        lidar=draw_lidar_unit(generator(job.seed, recording.vehicle, "lidar")),
    )


def _record_frame(
    job: SynthJob, recording: Recording, stage: _Set, index: int, rng: np.random.Generator
) -> Frame:
    """Take one key-frame; the objects hold still between the camera's and the LiDAR's moment."""
    world, time = stage.world, index * SAMPLE_PERIOD
    camera_time = time - _CAMERA_LEAD - float(rng.uniform(0, 0.012))
    camera = _capture(recording, world, CAMERA, camera_time, "jpg")
    lidar = _capture(recording, world, LIDAR, time, "pcd.bin")
    solids = world.solids_at(time)

    world_from_camera = transform(camera.rotation, camera.position) @ stage.rig.ego_from_camera
    view = look(solids, CameraRays(world_from_camera, stage.rig.intrinsics, job.image_size), world.annotated)
    scene_light = photograph(view, solids, stage.studio, float(stage.rig.intrinsics[0, 0]))
    image = expose(scene_light, stage.imager, stage.studio.light.gain, stage.noise, rng)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, stage.imager.jpeg_quality])[1]
    write_bytes(job.out / camera.file, encoded.tobytes())

    world_from_lidar = transform(lidar.rotation, lidar.position) @ stage.rig.ego_from_lidar
    sweep = scan(
        solids,
        world_from_lidar,
        world.annotated,
        stage.ground,
        stage.lidar,
        stage.studio.light.haze_length,
        rng,
    )
    write_bytes(job.out / lidar.file, sweep.points.tobytes())

    pixels = np.bincount(solids.table.actor[view.hits.solid[view.objects]], minlength=len(world.actors))
    by_camera = pixels / np.maximum(view.hits.reachable, 1)
    by_lidar = sweep.hits.seen / np.maximum(sweep.hits.reachable, 1)
    return Frame(
        camera=camera,
        lidar=lidar,
        poses=solids.poses,
        distance=np.hypot(*(solids.poses[:, :2] - lidar.position[:2]).T),
        lidar_points=np.bincount(sweep.actor[sweep.actor >= 0], minlength=len(world.actors)),
        pixels=pixels,
        visibility=np.where(view.hits.reachable >= _MIN_PIXELS, by_camera, by_lidar),
    )


def _capture(recording: Recording, world: World, channel: str, time: float, suffix: str) -> Capture:
    timestamp = recording.start + round(time * 1e6)
    file = Path("samples") / channel / f"{recording.logfile}__{channel}__{timestamp}.{suffix}"
    # The pose belongs to the timestamp as written, not to the unrounded time.
    exact = (timestamp - recording.start) / 1e6
    position, rotation = ego_pose(world.ego_pose_at(exact), exact)
    return Capture(file.as_posix(), timestamp, position, rotation)


def _describe(stage: _Set, recording: Recording) -> str:
    street = stage.world.site.street
    parts = [
        "Synthetic",
        "left-hand traffic" if recording.mirrored else "right-hand traffic",
        f"{2 * street.lanes} lanes",
        f"{len(street.junctions)} junctions",
        f"{len(street.car_parks)} car parks",
        stage.studio.light.kind,
    ]
    return ", ".join(parts)
