"""What shines by itself after dark: street lamps, headlights, tail lights, windows."""

from dataclasses import dataclass

import cv2
import numpy as np

from diffbev_engine.synth.camera import CameraRays
from diffbev_engine.synth.caster import PlacedSolids
from diffbev_engine.synth.facades import lit_windows
from diffbev_engine.synth.materials import lamps
from diffbev_engine.synth.raster import sample
from diffbev_engine.synth.solids import Material
from diffbev_engine.synth.surface import Surface

_CELL, _REACH = 0.5, 30.0  # metres: of the map of lamp light, and around every lamp
_LOWEST_LAMP = 4.0  # metres: lower ones are traffic lights
_POOL, _BEAM = 1.0, 1.5  # light on a level surface below a street lamp, and close before the headlights
_BEAM_LENGTH, _BEAM_WIDTH = 15.0, 0.38  # metres; tangent of the angle to either side
STREET_COLOUR = np.array([0.5, 0.8, 1.0], dtype=np.float32)
BEAM_COLOUR = np.array([0.95, 1.0, 1.0], dtype=np.float32)
_WHITE_GLOW, _RED_GLOW = np.array([1.5, 1.6, 1.6]), np.array([0.12, 0.1, 1.1])
_WINDOW_GLOW = np.array([0.32, 0.55, 0.72])


@dataclass(frozen=True)
class Pools:
    """The light of all street lamps on the ground, a map."""

    image: np.ndarray
    """(h, w) float32."""
    corner: np.ndarray
    """(2,) world position of the middle of the first pixel, metres; rows run along y."""

    def at(self, origin: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the light (...) at points (2, ...) relative to a world position ``origin``."""
        start = ((origin[:2] - self.corner) / _CELL).astype(np.float32)
        x, y = (np.clip(points[axis] / _CELL + start[axis], -2, 16000) for axis in (0, 1))
        return sample(self.image, x, y)


def lamp_pools(solids: PlacedSolids) -> Pools:
    """Map the light of the street lamps among the solids, which stand still."""
    heads = solids.corners[solids.table.material == Material.LAMP].mean(axis=1)
    heads = heads[heads[:, 2] > _LOWEST_LAMP]
    if not len(heads):
        return Pools(np.zeros((2, 2), np.float32), np.zeros(2))
    corner = heads[:, :2].min(axis=0) - _REACH
    size = np.ceil((heads[:, :2].max(axis=0) + _REACH - corner) / _CELL).astype(int)
    image = np.zeros((size[1], size[0]), np.float32)
    reach = int(_REACH / _CELL)
    for x, y, height in heads:
        column, row = round((x - corner[0]) / _CELL), round((y - corner[1]) / _CELL)
        window = (slice(max(row - reach, 0), row + reach), slice(max(column - reach, 0), column + reach))
        rows, columns = np.mgrid[: size[1], : size[0]][:, window[0], window[1]]
        away = np.square(corner[0] + columns * _CELL - x) + np.square(corner[1] + rows * _CELL - y)
        image[window] += _POOL * (height**2 / (height**2 + away)) ** 2
    return Pools(image, corner)


def headlights(rays: CameraRays, inverse_depth: np.ndarray) -> np.ndarray:
    """Return the light (H, W) of the ego vehicle's low beam on surfaces that face it."""
    across, down = rays.slopes()
    aside = np.exp(-0.5 * np.square(across / np.float32(_BEAM_WIDTH)))[None]
    # The beam ends just below the horizon; some light strays above it.
    up = (0.12 + 0.88 / (1 + np.exp(-(down - 0.015) / 0.008))).astype(np.float32)[:, None]
    near = np.square(np.float32(_BEAM_LENGTH) * inverse_depth)
    return np.float32(_BEAM) * aside * up * (near / (1 + near))


def glow(material: Material, surface: Surface, awake: np.ndarray) -> np.ndarray | None:
    """Return the light (N, 3) that a surface gives off itself, or None.

    Args:
        material: What the surface is painted with.
        surface: N points.
        awake: (N,) bool, whether the object's lamps are on.
    """
    if material == Material.LAMP:
        return 1.7 * surface.colour
    beams = lamps(material, surface)
    if beams is not None:
        white, red = ((mask & awake)[:, None] for mask in beams)
        return white * _WHITE_GLOW + red * _RED_GLOW
    lit = lit_windows(material, surface)
    return None if lit is None else lit[:, None] * _WINDOW_GLOW


def bloom(image: np.ndarray) -> None:
    """Let light brighter than white spill over its surroundings, in place."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    spill = cv2.GaussianBlur(np.maximum(small - 0.55, 0.0), (0, 0), 0.006 * width)
    image += 0.5 * cv2.resize(spill, (width, height), interpolation=cv2.INTER_LINEAR)
