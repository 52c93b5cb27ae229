"""The patterns on solids: windows, lamps, stripes, ribs, leaves.

Every pattern gets the points of its surface in the frame of the object (x forward, y left,
z up, metres) and returns the colour there, BGR with 1 as white.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.solids import Material

_GLASS = np.array([0.17, 0.15, 0.13])
_WHITE_LAMP = np.array([0.92, 0.97, 0.98])
_RED_LAMP = np.array([0.12, 0.1, 0.75])


@dataclass(frozen=True)
class Surface:
    """Points on solids of one material; N of them."""

    point: np.ndarray  # N x 3
    normal: np.ndarray  # N x 3
    low: np.ndarray  # N x 3, bounding box of the solid
    high: np.ndarray  # N x 3
    colour: np.ndarray  # N x 3, base colour
    brand: np.ndarray  # N, a number in 0..1 of the solid, the same on all of it

    @property
    def share(self) -> np.ndarray:
        """N x 3: position within the bounding box, 0 to 1."""
        return (self.point - self.low) / np.maximum(self.high - self.low, 1e-3)

    @property
    def along_wall(self) -> np.ndarray:
        """N: horizontal position along an upright face, metres."""
        facing_x = np.abs(self.normal[:, 0]) > np.abs(self.normal[:, 1])
        return np.where(facing_x, self.point[:, 1] - self.low[:, 1], self.point[:, 0] - self.low[:, 0])

    @property
    def upright(self) -> np.ndarray:
        """N: whether the face is a wall rather than a roof."""
        return np.abs(self.normal[:, 2]) < 0.5


def paint(material: Material, surface: Surface) -> np.ndarray:
    """Return the colours (N, 3) of a surface."""
    return _PATTERNS[material](surface)


def speckle(point: np.ndarray, cell: float) -> np.ndarray:
    """Return a random number in 0..1 (N,) that is constant over cells of ``cell`` metres."""
    index = np.floor(point / cell).astype(np.int64)
    mixed = (index[:, 0] * 73856093) ^ (index[:, 1] * 19349663) ^ (index[:, 2] * 83492791)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed >> 8) & 0xFFFF) / 65535.0


def _plain(surface: Surface) -> np.ndarray:
    return surface.colour


def _car_body(surface: Surface) -> np.ndarray:
    x, y, z = surface.share.T
    colour = surface.colour * (1 - 0.45 * (z < 0.16))[:, None]
    side = np.abs(surface.normal[:, 1]) > 0.7
    seam = side & (np.abs(x - 0.48) < 0.006) & (z > 0.2)
    colour = np.where(seam[:, None], 0.5 * surface.colour, colour)
    outer = np.abs(y - 0.5) > 0.3
    rear, front = surface.normal[:, 0] < -0.6, surface.normal[:, 0] > 0.6
    colour = _put(colour, rear & outer & (z > 0.5) & (z < 0.86), _RED_LAMP)
    colour = _put(colour, front & outer & (z > 0.34) & (z < 0.62), _WHITE_LAMP)
    colour = _put(colour, front & ~outer & (z > 0.2) & (z < 0.5), np.array([0.08, 0.08, 0.08]))
    plate = (rear | front) & (np.abs(y - 0.5) < 0.14) & (z > 0.22) & (z < 0.38)
    return _put(colour, plate, np.array([0.75, 0.85, 0.88]))


def _glass_cabin(surface: Surface) -> np.ndarray:
    """Windows all round between pillars, under a painted roof."""
    x, y, z = surface.share.T
    side = np.abs(surface.normal[:, 1]) > np.abs(surface.normal[:, 0])
    position = np.where(side, x, y)
    pillar = (position < 0.08) | (position > 0.92) | (side & (np.abs(position - 0.52) < 0.03))
    window = ~pillar & (z > 0.06) & (z < 0.9) & (surface.normal[:, 2] < 0.9)
    sheen = _GLASS[None] * (0.8 + 1.1 * z[:, None])
    return np.where(window[:, None], sheen, surface.colour)


def _tyre(surface: Surface) -> np.ndarray:
    offset = surface.share[:, (0, 2)] - 0.5
    hub = (np.abs(surface.normal[:, 1]) > 0.8) & (np.hypot(offset[:, 0], offset[:, 1]) < 0.28)
    return _put(surface.colour, hub, np.array([0.5, 0.5, 0.5]))


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
    colour = _put(surface.colour, windscreen | door_window, 1.2 * _GLASS)
    colour = _put(colour, front & (z < 0.3) & (np.abs(y - 0.5) > 0.32) & (z > 0.12), _WHITE_LAMP)
    return _put(
        colour, front & (z > 0.12) & (z < 0.4) & (np.abs(y - 0.5) < 0.25), np.array([0.12, 0.12, 0.12])
    )


def _cargo(surface: Surface) -> np.ndarray:
    """A smooth box with a frame around each wall, a lettering on the sides, doors and lamps behind."""
    x, y, z = surface.share.T
    side, rear = np.abs(surface.normal[:, 1]) > 0.7, surface.normal[:, 0] < -0.7
    position = np.where(side, x, y)
    frame = surface.upright & ((position < 0.03) | (position > 0.97) | (z < 0.04) | (z > 0.96))
    door = rear & (np.abs(y - 0.5) < 0.012)
    colour = np.where((frame | door)[:, None], 0.6 * surface.colour, surface.colour)
    logo = side & (x > 0.25) & (x < 0.75) & (z > 0.42) & (z < 0.62) & (surface.brand > 0.4)
    colour = _put(colour, logo, np.array([0.55, 0.25, 0.12]))
    return _put(colour, rear & (z < 0.07) & (np.abs(y - 0.5) > 0.38), _RED_LAMP)


def _ribs(surface: Surface) -> np.ndarray:
    groove = surface.upright & (np.mod(surface.along_wall, 0.4) < 0.17)
    colour = np.where(groove[:, None], 0.68 * surface.colour, surface.colour)
    _, y, z = surface.share.T
    rear = surface.normal[:, 0] < -0.7
    return _put(colour, rear & (z < 0.08) & (np.abs(y - 0.5) > 0.36), _RED_LAMP)


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
    colour = _put(surface.colour, window, 1.1 * _GLASS)
    door = (surface.normal[:, 1] < -0.7) & ((np.abs(x - 0.9) < 0.05) | (np.abs(x - 0.5) < 0.055)) & (z < 0.8)
    colour = _put(colour, door, np.array([0.22, 0.2, 0.18]))
    colour = _put(
        colour, (front | rear) & (z > 0.87) & (z < 0.97) & (np.abs(y - 0.5) < 0.3), np.array([0.1, 0.6, 0.9])
    )
    colour = _put(colour, rear & (z > 0.08) & (z < 0.3) & (np.abs(y - 0.5) > 0.38), _RED_LAMP)
    colour = _put(colour, front & (z > 0.08) & (z < 0.2) & (np.abs(y - 0.5) > 0.3), _WHITE_LAMP)
    return np.where((side & (z < 0.12))[:, None], 0.45 * surface.colour, colour)


def _stripes(surface: Surface) -> np.ndarray:
    slanted = np.mod(surface.point[:, 1] + 0.6 * surface.point[:, 2], 0.6) < 0.3
    return _put(surface.colour, slanted, np.array([0.85, 0.87, 0.88]))


def _cone(surface: Surface) -> np.ndarray:
    z = surface.share[:, 2]
    ring = ((z > 0.38) & (z < 0.58)) | ((z > 0.72) & (z < 0.86))
    return _put(surface.colour, ring, np.array([0.9, 0.9, 0.9]))


def _vest(surface: Surface) -> np.ndarray:
    z = surface.share[:, 2]
    return _put(
        surface.colour, ((z > 0.2) & (z < 0.32)) | ((z > 0.55) & (z < 0.67)), np.array([0.88, 0.88, 0.88])
    )


def _leaves(surface: Surface) -> np.ndarray:
    fleck = 0.55 * speckle(surface.point, 0.12) + 0.45 * speckle(surface.point + 7.3, 0.37)
    return surface.colour * (0.45 + 1.1 * fleck)[:, None]


def _wall(
    surface: Surface, pane: tuple[float, float], spacing: float, ledge: float, top: float
) -> np.ndarray:
    """Return the window grid of a wall: 3.2 m storeys, panes every ``spacing`` metres."""
    across = np.mod(surface.along_wall, spacing) / spacing
    z = np.mod(surface.point[:, 2], 3.2)
    glass = surface.upright & (across > pane[0]) & (across < pane[1]) & (z > ledge) & (z < top)
    glass &= surface.point[:, 2] < surface.high[:, 2] - 0.8
    lit = speckle(
        np.stack(
            [np.floor(surface.along_wall / spacing), np.floor(surface.point[:, 2] / 3.2), surface.brand], -1
        ),
        1.0,
    )
    tone = _GLASS[None] * (0.8 + 1.6 * lit)[:, None] + np.array([0.1, 0.06, 0.03]) * (lit > 0.6)[:, None]
    return np.where(
        glass[:, None], tone, surface.colour * (0.93 + 0.14 * speckle(surface.point, 0.8))[:, None]
    )


def _house(surface: Surface) -> np.ndarray:
    colour = _wall(surface, (0.3, 0.7), 2.8, 0.9, 2.3)
    door = (
        surface.upright & (np.abs(np.mod(surface.along_wall, 8.4) - 0.55) < 0.5) & (surface.point[:, 2] < 2.1)
    )
    return _put(colour, door, np.array([0.15, 0.2, 0.3]))


def _bricks(surface: Surface) -> np.ndarray:
    colour = _wall(surface, (0.2, 0.8), 3.2, 0.8, 2.4)
    shop = surface.upright & (surface.point[:, 2] > 0.4) & (surface.point[:, 2] < 2.7)
    shop &= np.mod(surface.along_wall, 4.8) > 0.6
    awning = surface.upright & (surface.point[:, 2] > 2.8) & (surface.point[:, 2] < 3.3)
    sign = np.stack([0.2 + 0.6 * surface.brand, 0.5 - 0.3 * surface.brand, 0.75 - 0.5 * surface.brand], -1)
    return np.where(awning[:, None], sign, _put(colour, shop, 1.5 * _GLASS))


def _office(surface: Surface) -> np.ndarray:
    return _wall(surface, (0.06, 0.94), 1.6, 0.5, 2.9)


def _put(colour: np.ndarray, where: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.where(where[:, None], value, colour)


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
    Material.BRICKS: _bricks,
    Material.OFFICE: _office,
    Material.HOUSE: _house,
}
