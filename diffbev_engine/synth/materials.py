"""The patterns on solids: windows, lamps, stripes, ribs, leaves; those on walls are in ``facades``.

Every pattern gets the points of its surface in the frame of the object (x forward, y left,
z up, metres) and returns the colour there, BGR with 1 as white.
"""

from collections.abc import Callable

import numpy as np

from diffbev_engine.synth.facades import bricks, house, office
from diffbev_engine.synth.solids import Material
from diffbev_engine.synth.surface import GLASS, Surface, put, speckle

Mask = np.ndarray  # (N,) bool
_WHITE_LAMP = np.array([0.92, 0.97, 0.98])
_RED_LAMP = np.array([0.12, 0.1, 0.75])


def paint(material: Material, surface: Surface) -> np.ndarray:
    """Return the colours (N, 3) of a surface."""
    return _PATTERNS[material](surface)


def lamps(material: Material, surface: Surface) -> tuple[Mask, Mask] | None:
    """Return where a vehicle's white and red lamps are; None for materials without lamps."""
    return _LAMPS[material](surface) if material in _LAMPS else None


def _with_lamps(colour: np.ndarray, white: Mask, red: Mask) -> np.ndarray:
    return put(put(colour, red, _RED_LAMP), white, _WHITE_LAMP)


def _plain(surface: Surface) -> np.ndarray:
    return surface.colour


def _car_body(surface: Surface) -> np.ndarray:
    x, y, z = surface.share.T
    colour = surface.colour * (1 - 0.45 * (z < 0.16))[:, None]
    side = np.abs(surface.normal[:, 1]) > 0.7
    seam = side & (np.abs(x - 0.48) < 0.006) & (z > 0.2)
    colour = np.where(seam[:, None], 0.5 * surface.colour, colour)
    rear, front = surface.normal[:, 0] < -0.6, surface.normal[:, 0] > 0.6
    colour = _with_lamps(colour, *_car_lamps(surface))
    grille = front & (np.abs(y - 0.5) < 0.3) & (z > 0.2) & (z < 0.5)
    colour = put(colour, grille, np.array([0.08, 0.08, 0.08]))
    plate = (rear | front) & (np.abs(y - 0.5) < 0.14) & (z > 0.22) & (z < 0.38)
    return put(colour, plate, np.array([0.75, 0.85, 0.88]))


def _car_lamps(surface: Surface) -> tuple[Mask, Mask]:
    _, y, z = surface.share.T
    outer = np.abs(y - 0.5) > 0.3
    white = (surface.normal[:, 0] > 0.6) & outer & (z > 0.34) & (z < 0.62)
    return white, (surface.normal[:, 0] < -0.6) & outer & (z > 0.5) & (z < 0.86)


def _glass_cabin(surface: Surface) -> np.ndarray:
    """Windows all round between pillars, under a painted roof."""
    x, y, z = surface.share.T
    side = np.abs(surface.normal[:, 1]) > np.abs(surface.normal[:, 0])
    position = np.where(side, x, y)
    pillar = (position < 0.08) | (position > 0.92) | (side & (np.abs(position - 0.52) < 0.03))
    window = ~pillar & (z > 0.06) & (z < 0.9) & (surface.normal[:, 2] < 0.9)
    sheen = GLASS[None] * (0.8 + 1.1 * z[:, None])
    return np.where(window[:, None], sheen, surface.colour)


def _tyre(surface: Surface) -> np.ndarray:
    offset = surface.share[:, (0, 2)] - 0.5
    hub = (np.abs(surface.normal[:, 1]) > 0.8) & (np.hypot(offset[:, 0], offset[:, 1]) < 0.28)
    return put(surface.colour, hub, np.array([0.5, 0.5, 0.5]))


def _spokes(surface: Surface) -> np.ndarray:
    """A thin tyre around spokes that let some of the ground's grey through."""
    offset = surface.share[:, (0, 2)] - 0.5
    radius, angle = np.hypot(offset[:, 0], offset[:, 1]), np.arctan2(offset[:, 1], offset[:, 0])
    inside = (np.abs(surface.normal[:, 1]) > 0.8) & (radius < 0.4)
    spoke = (np.mod(angle, np.pi / 6) < 0.12) | (radius < 0.06)
    tone = np.where(spoke[:, None], 0.62, 0.36) * np.array([1.0, 1.0, 1.0])
    return np.where(inside[:, None], tone, surface.colour)


def _truck_cab(surface: Surface) -> np.ndarray:
    x, y, z = surface.share.T
    front, side = surface.normal[:, 0] > 0.5, np.abs(surface.normal[:, 1]) > 0.7
    windscreen = front & (z > 0.5) & (z < 0.88) & (np.abs(y - 0.5) < 0.44)
    door_window = side & (z > 0.52) & (z < 0.86) & (x > 0.3) & (x < 0.85)
    colour = put(surface.colour, windscreen | door_window, 1.2 * GLASS)
    colour = _with_lamps(colour, *_cab_lamps(surface))
    return put(
        colour, front & (z > 0.12) & (z < 0.4) & (np.abs(y - 0.5) < 0.25), np.array([0.12, 0.12, 0.12])
    )


def _cab_lamps(surface: Surface) -> tuple[Mask, Mask]:
    _, y, z = surface.share.T
    white = (surface.normal[:, 0] > 0.5) & (z < 0.3) & (np.abs(y - 0.5) > 0.32) & (z > 0.12)
    return white, np.zeros_like(white)


def _cargo(surface: Surface) -> np.ndarray:
    """A smooth box with a frame around each wall, a lettering on the sides, doors and lamps behind."""
    x, y, z = surface.share.T
    side, rear = np.abs(surface.normal[:, 1]) > 0.7, surface.normal[:, 0] < -0.7
    position = np.where(side, x, y)
    frame = surface.upright & ((position < 0.03) | (position > 0.97) | (z < 0.04) | (z > 0.96))
    door = rear & (np.abs(y - 0.5) < 0.012)
    colour = np.where((frame | door)[:, None], 0.6 * surface.colour, surface.colour)
    logo = side & (x > 0.25) & (x < 0.75) & (z > 0.42) & (z < 0.62) & (surface.brand > 0.4)
    colour = put(colour, logo, np.array([0.55, 0.25, 0.12]))
    return _with_lamps(colour, *_load_lamps(surface))


def _load_lamps(surface: Surface) -> tuple[Mask, Mask]:
    _, y, z = surface.share.T
    red = (surface.normal[:, 0] < -0.7) & (z < 0.075) & (np.abs(y - 0.5) > 0.37)
    return np.zeros_like(red), red


def _ribs(surface: Surface) -> np.ndarray:
    groove = surface.upright & (np.mod(surface.along_wall, 0.4) < 0.17)
    colour = np.where(groove[:, None], 0.68 * surface.colour, surface.colour)
    return _with_lamps(colour, *_load_lamps(surface))


def _bus(surface: Surface) -> np.ndarray:
    """A band of windows, a windscreen, doors on the right, a destination sign, lamps."""
    x, y, z = surface.share.T
    side, front, rear = (
        np.abs(surface.normal[:, 1]) > 0.7,
        surface.normal[:, 0] > 0.6,
        surface.normal[:, 0] < -0.6,
    )
    pane = np.mod(surface.along_wall, 1.5) > 0.12
    window = side & (z > 0.42) & (z < 0.8) & pane & (x > 0.02)
    window |= front & (z > 0.34) & (z < 0.84) & (np.abs(y - 0.5) < 0.46)
    window |= rear & (z > 0.5) & (z < 0.78) & (np.abs(y - 0.5) < 0.38)
    colour = put(surface.colour, window, 1.1 * GLASS)
    door = (surface.normal[:, 1] < -0.7) & ((np.abs(x - 0.9) < 0.05) | (np.abs(x - 0.5) < 0.055)) & (z < 0.8)
    colour = put(colour, door, np.array([0.22, 0.2, 0.18]))
    colour = put(
        colour, (front | rear) & (z > 0.87) & (z < 0.97) & (np.abs(y - 0.5) < 0.3), np.array([0.1, 0.6, 0.9])
    )
    colour = _with_lamps(colour, *_bus_lamps(surface))
    return np.where((side & (z < 0.12))[:, None], 0.45 * surface.colour, colour)


def _bus_lamps(surface: Surface) -> tuple[Mask, Mask]:
    _, y, z = surface.share.T
    white = (surface.normal[:, 0] > 0.6) & (z > 0.08) & (z < 0.2) & (np.abs(y - 0.5) > 0.3)
    return white, (surface.normal[:, 0] < -0.6) & (z > 0.08) & (z < 0.3) & (np.abs(y - 0.5) > 0.38)


def _stripes(surface: Surface) -> np.ndarray:
    slanted = np.mod(surface.point[:, 1] + 0.6 * surface.point[:, 2], 0.6) < 0.3
    return put(surface.colour, slanted, np.array([0.85, 0.87, 0.88]))


def _cone(surface: Surface) -> np.ndarray:
    z = surface.share[:, 2]
    ring = ((z > 0.38) & (z < 0.58)) | ((z > 0.72) & (z < 0.86))
    return put(surface.colour, ring, np.array([0.9, 0.9, 0.9]))


def _vest(surface: Surface) -> np.ndarray:
    z = surface.share[:, 2]
    return put(
        surface.colour, ((z > 0.2) & (z < 0.32)) | ((z > 0.55) & (z < 0.67)), np.array([0.88, 0.88, 0.88])
    )


def _leaves(surface: Surface) -> np.ndarray:
    fleck = 0.55 * speckle(surface.point, 0.12) + 0.45 * speckle(surface.point + 7.3, 0.37)
    return surface.colour * (0.45 + 1.1 * fleck)[:, None]


_PATTERNS: dict[Material, Callable[[Surface], np.ndarray]] = {
    Material.PLAIN: _plain,
    Material.CAR_BODY: _car_body,
    Material.GLASS_CABIN: _glass_cabin,
    Material.TYRE: _tyre,
    Material.SPOKES: _spokes,
    Material.TRUCK_CAB: _truck_cab,
    Material.CARGO: _cargo,
    Material.RIBS: _ribs,
    Material.BUS: _bus,
    Material.STRIPES: _stripes,
    Material.CONE: _cone,
    Material.VEST: _vest,
    Material.LEAVES: _leaves,
    Material.BRICKS: bricks,
    Material.OFFICE: office,
    Material.HOUSE: house,
    Material.LAMP: _plain,
}
_LAMPS: dict[Material, Callable[[Surface], tuple[Mask, Mask]]] = {
    Material.CAR_BODY: _car_lamps,
    Material.TRUCK_CAB: _cab_lamps,
    Material.CARGO: _load_lamps,
    Material.RIBS: _load_lamps,
    Material.BUS: _bus_lamps,
}
