"""From geometry to a photograph: sky, lit ground and objects, haze, lens and sensor noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from diffbev_engine.synth.actors import footprints
from diffbev_engine.synth.camera import View
from diffbev_engine.synth.caster import PlacedSolids
from diffbev_engine.synth.ground import GroundTexture, ground_albedo, ground_points, ground_shade
from diffbev_engine.synth.light import Light
from diffbev_engine.synth.materials import Surface, paint
from diffbev_engine.synth.raster import cloudy_noise
from diffbev_engine.synth.solids import Material

_TILE = 512


@dataclass(frozen=True)
class Studio:
    """What all photographs of one scene share."""

    light: Light
    texture: GroundTexture
    clouds: np.ndarray
    """(512, 512) float32 that wraps around."""
    grain: np.ndarray
    """Sensor noise (h, w, 3) float32, larger than the image; every image cuts its own piece."""
    annotated: np.ndarray
    """(A,) bool."""
    sizes: np.ndarray
    """(A, 3) width, length, height."""


def make_studio(
    light: Light,
    texture: GroundTexture,
    annotated: np.ndarray,
    sizes: np.ndarray,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Studio:
    """Prepare the clouds and the noise of a scene with images of ``shape``."""
    clouds = cloudy_noise(rng, _TILE, ((8, 1.0), (16, 0.6), (64, 0.35), (128, 0.2)))
    grain = rng.standard_normal((shape[0] + 128, shape[1] + 128, 3), dtype=np.float32)
    return Studio(light, texture, clouds, grain * light.sensor_noise, annotated, sizes)


def photograph(
    view: View, solids: PlacedSolids, studio: Studio, focal: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the image (H, W, 3) uint8, BGR, of what a view sees."""
    light = studio.light
    image = _sky(view, studio)
    first_row = int(np.argmax(view.ground.any(axis=1))) if view.ground.any() else view.rays.shape[0]
    if first_row < view.rays.shape[0]:
        seen = view.ground[first_row:]
        image[first_row:][seen] = _ground(view, solids, studio, first_row, focal)[seen]
    pixels = np.flatnonzero(view.objects)
    if len(pixels):
        image.reshape(-1, 3)[pixels] = _objects(view, solids, light, pixels)
    depth = 1.0 / np.maximum(view.inverse_depth, 1e-4)
    clear = np.where(view.inverse_depth > 0, np.exp(-depth / light.haze_length), 1.0)[..., None]
    image = image * clear + light.horizon.astype(np.float32) * (1 - clear)
    return _develop(image, view, studio, rng)


def _sky(view: View, studio: Studio) -> np.ndarray:
    """Return an image that is sky wherever neither ground nor solids are seen."""
    light = studio.light
    image = np.empty((*view.rays.shape, 3), dtype=np.float32)
    image[:] = light.horizon
    sky_rows = (view.inverse_depth == 0).any(axis=1)
    if not sky_rows.any():
        return image
    last = view.rays.shape[0] - int(np.argmax(sky_rows[::-1]))
    x, y, z = view.rays.fields(np.eye(3), (slice(0, last), slice(0, view.rays.shape[1])))
    level = np.hypot(x, y)
    slope = np.maximum(z / level, 0.0)
    height = np.minimum(slope / 0.8, 1.0)[..., None] ** np.float32(0.7)
    colour = light.horizon.astype(np.float32) + (light.zenith - light.horizon).astype(np.float32) * height
    # Clouds hang on a plane: nearer to the horizon they are smaller.
    stretch = 60.0 / np.maximum(slope, 0.06) / level
    u, v = np.mod(x * stretch, _TILE), np.mod(y * stretch, _TILE)
    cloud = cv2.remap(studio.clouds, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    cover = np.clip(0.5 * cloud + 0.1, 0, 1) * np.float32(light.cloud) * np.minimum(slope / 0.15, 1.0)
    image[:last] = colour + (np.float32(0.96) - colour) * cover[..., None]
    return image


def _ground(view: View, solids: PlacedSolids, studio: Studio, first_row: int, focal: float) -> np.ndarray:
    light = studio.light
    albedo = ground_albedo(studio.texture, view.rays, first_row, focal)
    points, _ = ground_points(view.rays, first_row)
    below = np.concatenate(
        [
            footprints(solids.poses[index], tuple(studio.sizes[index]), 0.05)[None]
            for index in np.nonzero(studio.annotated)[0]
        ]
    )
    sun_shade, sky_shade = ground_shade(solids, below, points, view.rays, light)
    sun = (1 - sun_shade)[..., None] * (light.sun * light.to_sun[2] / 255).astype(np.float32)
    sky = (1 - np.float32(0.6) * sky_shade)[..., None] * (light.sky_light / 255).astype(np.float32)
    return albedo * (sun + sky)


def _objects(view: View, solids: PlacedSolids, light: Light, pixels: np.ndarray) -> np.ndarray:
    """Return the lit colours (N, 3) of the pixels (N,), flat indices, that show solids."""
    index, face = view.hits.solid.ravel()[pixels], view.hits.face.ravel()[pixels]
    table, actor = solids.table, solids.table.actor[index]
    everywhere = (slice(0, view.rays.shape[0]), slice(0, view.rays.shape[1]))
    direction = view.rays.fields(np.eye(3), everywhere).reshape(3, -1)[:, pixels]
    x, y, z = direction / view.inverse_depth.ravel()[pixels]
    pose = solids.poses - [*view.rays.origin[:2], 0.0]
    x, y = x - pose[actor, 0].astype(np.float32), y - pose[actor, 1].astype(np.float32)
    cos, sin = np.cos(pose[:, 2]).astype(np.float32)[actor], np.sin(pose[:, 2]).astype(np.float32)[actor]
    local = np.stack([cos * x + sin * y, cos * y - sin * x, z + np.float32(view.rays.origin[2])], -1)
    albedo = np.empty((len(index), 3), dtype=np.float32)
    brand = ((table.actor * 0.61803) % 1.0).astype(np.float32)
    normals, low, high, colour = (
        array.astype(np.float32) for array in (table.normals, table.low, table.high, table.colour)
    )
    painted = table.material[index]
    for material in np.unique(painted):
        pick = np.flatnonzero(painted == material)
        of = index[pick]
        surface = Surface(local[pick], normals[of, face[pick]], low[of], high[of], colour[of], brand[of])
        albedo[pick] = paint(Material(material), surface)
    facing = np.maximum(solids.normals @ light.to_sun, 0.0).astype(np.float32)[index, face]
    openness = (0.66 + 0.34 * solids.normals[..., 2]).astype(np.float32)[index, face]
    openness = openness * (0.7 + 0.3 * np.clip(local[:, 2] / 0.6, 0, 1))
    sun, sky = light.sun.astype(np.float32), light.sky_light.astype(np.float32)
    return albedo * (facing[:, None] * sun + openness[:, None] * sky)


def _develop(image: np.ndarray, view: View, studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """Smooth the edges of objects, darken the corners, add noise, go to 8 bits."""
    height, width = view.rays.shape
    what = np.where(view.objects, view.hits.solid, -1)
    edge = np.zeros((height, width), dtype=np.uint8)
    edge[:, 1:] |= what[:, 1:] != what[:, :-1]
    edge[1:] |= what[1:] != what[:-1]
    near_edge = cv2.dilate(edge, np.ones((2, 2), np.uint8)).astype(bool)
    image = image.astype(np.float32)
    image = np.where(near_edge[..., None], cv2.GaussianBlur(image, (3, 3), 0.6), image)
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None]
    image *= (1 - studio.light.vignette * 2 * (x**2 + y**2))[..., None]
    top, left = rng.integers(0, 128, 2)
    # A camera lifts the shadows.
    image = (
        255.0 * np.maximum(image, 0.0) ** np.float32(0.85)
        + studio.grain[top : top + height, left : left + width]
    )
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
