"""From geometry to an image of light: sky, lit ground and objects, lamps, haze."""

from dataclasses import dataclass

import cv2
import numpy as np

from diffbev_engine.synth.actors import footprints
from diffbev_engine.synth.camera import View
from diffbev_engine.synth.caster import PlacedSolids
from diffbev_engine.synth.ground import GroundTexture, ground_albedo, ground_points
from diffbev_engine.synth.lamps import (
    BEAM_COLOUR,
    STREET_COLOUR,
    Pools,
    bloom,
    glow,
    headlights,
    lamp_pools,
)
from diffbev_engine.synth.light import Light
from diffbev_engine.synth.materials import paint
from diffbev_engine.synth.raster import cloudy_noise
from diffbev_engine.synth.shadows import ShadowMap, cast_outlines
from diffbev_engine.synth.solids import Material
from diffbev_engine.synth.surface import Surface
from diffbev_engine.synth.world import World

_TILE = 512
_BODY_LEVEL = 1.0  # metres: shadows on vehicles and people are those at this height


@dataclass(frozen=True)
class Studio:
    """What all photographs of one scene share."""

    light: Light
    texture: GroundTexture
    clouds: np.ndarray
    """(512, 512) float32 that wraps around."""
    pools: Pools
    """The light of the street lamps."""
    annotated: np.ndarray
    """(A,) bool."""
    awake: np.ndarray
    """(A,) bool: lamps are on after dark."""
    sizes: np.ndarray
    """(A, 3) width, length, height."""


def make_studio(light: Light, texture: GroundTexture, world: World, rng: np.random.Generator) -> Studio:
    """Prepare the clouds and the lamps of a scene."""
    clouds = cloudy_noise(rng, _TILE, ((8, 1.0), (16, 0.6), (64, 0.35), (128, 0.2)))
    awake = [actor.attribute in ("vehicle.moving", "vehicle.stopped") for actor in world.actors]
    pools = lamp_pools(world.solids_at(0.0))
    return Studio(light, texture, clouds, pools, world.annotated, np.array(awake), world.sizes)


def photograph(view: View, solids: PlacedSolids, studio: Studio, focal: float) -> np.ndarray:
    """Return the light (H, W, 3) float32, BGR with 1 as white, that a view sees."""
    light = studio.light
    image = _sky(view, studio)
    beam = headlights(view.rays, view.inverse_depth) if light.dark else None
    first_row = int(np.argmax(view.ground.any(axis=1))) if view.ground.any() else view.rays.shape[0]
    if first_row < view.rays.shape[0]:
        seen = view.ground[first_row:]
        image[first_row:][seen] = _ground(view, solids, studio, first_row, focal, beam)[seen]
    pixels = np.flatnonzero(view.objects)
    if len(pixels):
        image.reshape(-1, 3)[pixels] = _objects(view, solids, studio, pixels, beam)
    depth = 1.0 / np.maximum(view.inverse_depth, 1e-4)
    clear = np.where(view.inverse_depth > 0, np.exp(-depth / np.float32(light.haze_length)), 1.0)[..., None]
    image = image * clear + light.horizon.astype(np.float32) * (1 - clear)
    if light.dark:
        bloom(image)
    return _smooth_edges(image, view)


def _sky(view: View, studio: Studio) -> np.ndarray:
    """Return an image that is sky wherever neither ground nor solids are seen."""
    light = studio.light
    image = np.empty((*view.rays.shape, 3), dtype=np.float32)
    image[:] = light.horizon
    sky_rows = (view.inverse_depth == 0).any(axis=1)
    if not sky_rows.any():
        return image
    last = view.rays.shape[0] - int(np.argmax(sky_rows[::-1]))
    # The sky is smooth: every other pixel will do.
    x, y, z = view.rays.fields(np.eye(3), (slice(0, last, 2), slice(0, view.rays.shape[1], 2)))
    level = np.hypot(x, y)
    slope = np.maximum(z / level, 0.0)
    height = np.minimum(slope / 0.8, 1.0)[..., None] ** np.float32(0.7)
    colour = light.horizon.astype(np.float32) + (light.zenith - light.horizon).astype(np.float32) * height
    # Clouds hang on a plane: nearer to the horizon they are smaller.
    stretch = 60.0 / np.maximum(slope, 0.06) / level
    u, v = np.mod(x * stretch, _TILE), np.mod(y * stretch, _TILE)
    cloud = cv2.remap(studio.clouds, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    cover = np.clip(0.5 * cloud + 0.1, 0, 1) * np.float32(light.cloud) * np.minimum(slope / 0.15, 1.0)
    bright = np.maximum(1.1 * light.horizon, 0.96 * (1 - light.lamps)).astype(np.float32)
    half = colour + (bright - colour) * cover[..., None]
    image[:last] = cv2.resize(half, (view.rays.shape[1], last), interpolation=cv2.INTER_LINEAR)
    return image


def _ground(
    view: View, solids: PlacedSolids, studio: Studio, first_row: int, focal: float, beam: np.ndarray | None
) -> np.ndarray:
    light = studio.light
    albedo = ground_albedo(studio.texture, view.rays, first_row, focal)
    points, _ = ground_points(view.rays, first_row)
    below = np.concatenate(
        [
            footprints(solids.poses[index], tuple(studio.sizes[index]), 0.05)[None]
            for index in np.nonzero(studio.annotated)[0]
        ]
    )
    layers = [(cast_outlines(solids, light.to_sun), light.shadow_blur), (below, 0.3)]
    shade = ShadowMap(view.rays, layers).at(points)
    total = (1 - shade[..., :1]) * (light.sun * light.to_sun[2] / 255).astype(np.float32)
    open_sky = 1 - np.float32(0.6) * shade[..., 1:]
    total += open_sky * (light.sky_light / 255).astype(np.float32)
    if beam is not None:
        total += open_sky * studio.pools.at(view.rays.origin, points)[..., None] * (STREET_COLOUR / 255)
        total += beam[first_row:, :, None] * (BEAM_COLOUR / 255)
    return albedo * total


def _objects(
    view: View, solids: PlacedSolids, studio: Studio, pixels: np.ndarray, beam: np.ndarray | None
) -> np.ndarray:
    """Return the lit colours (N, 3) of the pixels (N,), flat indices, that show solids."""
    light, table = studio.light, solids.table
    index, face = view.hits.solid.ravel()[pixels], view.hits.face.ravel()[pixels]
    everywhere = (slice(0, view.rays.shape[0]), slice(0, view.rays.shape[1]))
    direction = view.rays.fields(np.eye(3), everywhere).reshape(3, -1)[:, pixels]
    points = direction / view.inverse_depth.ravel()[pixels]  # relative to the camera
    local = _local(points, solids.poses, table.actor[index], view.rays.origin)
    albedo, shine = _painted(solids, studio, index, face, local)
    normals = solids.normals.astype(np.float32)
    facing = np.maximum(solids.normals @ light.to_sun, 0.0).astype(np.float32)[index, face]
    facing = facing * (1 - _sun_shade(view, solids, studio, index, points))
    openness = (0.66 + 0.34 * normals[..., 2])[index, face] * (0.7 + 0.3 * np.clip(local[:, 2] / 0.6, 0, 1))
    total = facing[:, None] * light.sun.astype(np.float32)
    total += openness[:, None] * light.sky_light.astype(np.float32)
    if beam is not None:
        towards = -np.einsum("ni,in->n", normals[index, face], direction) / np.linalg.norm(direction, axis=0)
        total += (beam.ravel()[pixels] * np.maximum(towards, 0.1))[:, None] * BEAM_COLOUR
        pool = studio.pools.at(view.rays.origin, points[:2])
        total += (np.float32(0.8) * openness * pool)[:, None] * STREET_COLOUR
    return albedo * total + shine * np.float32(light.lamps)


def _local(points: np.ndarray, poses: np.ndarray, actor: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return points (3, N) relative to the camera in the frames (N, 3) of their actors (N,)."""
    pose = poses - [*origin[:2], 0.0]
    x, y = points[0] - pose[actor, 0].astype(np.float32), points[1] - pose[actor, 1].astype(np.float32)
    cos, sin = np.cos(pose[:, 2]).astype(np.float32)[actor], np.sin(pose[:, 2]).astype(np.float32)[actor]
    return np.stack([cos * x + sin * y, cos * y - sin * x, points[2] + np.float32(origin[2])], -1)


def _painted(
    solids: PlacedSolids, studio: Studio, index: np.ndarray, face: np.ndarray, local: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours (N, 3) of points on faces of solids, and what light they give off themselves."""
    table = solids.table
    albedo, shine = np.empty((len(index), 3), np.float32), np.zeros((len(index), 3), np.float32)
    brand = ((table.actor * 0.61803) % 1.0).astype(np.float32)
    awake = studio.awake[table.actor]
    normals, low, high, colour = (
        array.astype(np.float32) for array in (table.normals, table.low, table.high, table.colour)
    )
    painted = table.material[index]
    for value in np.unique(painted):
        pick, material = np.flatnonzero(painted == value), Material(value)
        of = index[pick]
        surface = Surface(local[pick], normals[of, face[pick]], low[of], high[of], colour[of], brand[of])
        albedo[pick] = paint(material, surface)
        own = glow(material, surface, awake[of]) if studio.light.lamps else None
        if own is not None:
            shine[pick] = own
    return albedo, shine


def _sun_shade(
    view: View, solids: PlacedSolids, studio: Studio, index: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return how much buildings and trees keep the sun (N,) from points on annotated objects."""
    tall = ~studio.annotated[solids.table.actor] & (solids.corners[..., 2].max(axis=1) > _BODY_LEVEL)
    to_sun = studio.light.to_sun
    outlines = cast_outlines(solids, to_sun, _BODY_LEVEL)[tall]
    shadows = ShadowMap(view.rays, [(outlines, studio.light.shadow_blur)])
    up = np.float32(_BODY_LEVEL) - (points[2] + np.float32(view.rays.origin[2]))
    level = points[:2] + up * (to_sun[:2] / to_sun[2]).astype(np.float32)[:, None]
    return shadows.at(level)[:, 0] * studio.annotated[solids.table.actor[index]]


def _smooth_edges(image: np.ndarray, view: View) -> np.ndarray:
    """Blend the pixels along the outlines of solids with their neighbours."""
    what = np.where(view.objects, view.hits.solid, -1)
    edge = np.zeros(what.shape, dtype=np.uint8)
    edge[:, 1:] |= what[:, 1:] != what[:, :-1]
    edge[1:] |= what[1:] != what[:-1]
    near_edge = cv2.dilate(edge, np.ones((2, 2), np.uint8)).astype(bool)
    image = image.astype(np.float32, copy=False)
    np.copyto(image, cv2.GaussianBlur(image, (3, 3), 0.6), where=near_edge[..., None])
    return image
