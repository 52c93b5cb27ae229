"""Paints the ground of a street: surfaces, kerbs, lane markings, crossings, bays, wear."""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.markings import paint_markings
from diffbev_engine.synth.polygons import StreetPolygons
from diffbev_engine.synth.raster import Raster, blank_raster
from diffbev_engine.synth.street import Street

CELL = 0.05  # metres a texture pixel
_BEHIND, _SIGHT, _REACH = 8.0, 95.0, 40.0  # metres of texture behind, ahead and alongside

Colour = tuple[float, float, float, float]  # blue, green, red, roughness; 0 to 255


@dataclass(frozen=True)
class Palette:
    """The colours of one scene's ground."""

    terrain: Colour
    asphalt: Colour
    side_asphalt: Colour
    car_park: Colour
    walkway: Colour
    joint: Colour
    joint_spacing: float
    kerb: Colour
    planter: Colour


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw the colours: dark grey asphalt, light or reddish walkways, the rest green or brown."""
    terrain = np.array([[38, 78, 62], [46, 92, 88], [58, 88, 104], [34, 68, 48]])[rng.integers(4)]
    asphalt = rng.uniform(58, 92) + rng.normal(0, 2, 3)
    side = asphalt + rng.uniform(-10, 16)
    park = (
        rng.uniform(52, 84) * np.array([1.0, 1.0, 1.0]) if rng.random() < 0.6 else np.array([92, 108, 116.0])
    )
    walkway = np.array([[142, 150, 154], [118, 138, 156], [92, 104, 142], [160, 164, 164]])[rng.integers(4)]
    walkway = walkway * rng.uniform(0.9, 1.08)
    return Palette(
        terrain=_rough(terrain * rng.uniform(0.85, 1.2), 62),
        asphalt=_rough(asphalt, 26),
        side_asphalt=_rough(side, 26),
        car_park=_rough(park, 22),
        walkway=_rough(walkway, 18),
        joint=_rough(walkway * 0.72, 18),
        joint_spacing=float(rng.choice([0.6, 0.9, 1.5])),
        kerb=_rough(np.full(3, rng.uniform(165, 190)), 10),
        planter=_rough(np.array([30, 62, 48.0]), 60),
    )


def paint_ground(
    street: Street, polygons: StreetPolygons, travel: float, palette: Palette, rng: np.random.Generator
) -> Raster:
    """Paint all that a camera on the way from s = 0 to ``travel`` sees of the ground."""
    stations = street.centreline.stations(-_BEHIND, travel + _SIGHT)
    frame = np.concatenate([street.centreline.points(stations, t) for t in (-_REACH, _REACH)])
    raster = blank_raster(frame, street.centreline.start[2], CELL, palette.terrain)
    _paint_walkways(raster, street, polygons, palette)
    for outline in (polygon.exterior for group in polygons.drivable() for polygon in group):
        raster.line(outline, 0.36, palette.kerb, closed=True)
    for group, colour in (
        (polygons.gates, palette.car_park),
        (polygons.car_parks, palette.car_park),
        (polygons.arms, palette.side_asphalt),
        (polygons.fillets, palette.side_asphalt),
        ([polygons.road], palette.asphalt),
    ):
        for polygon in group:
            raster.fill(polygon.exterior, colour)
    _paint_wear(raster, street, palette, rng)
    paint_markings(raster, street, rng)
    for hole in polygons.road.holes:
        raster.fill(hole, palette.planter)
        raster.line(hole, 0.2, palette.kerb, closed=True)
    return raster


def _paint_walkways(raster: Raster, street: Street, polygons: StreetPolygons, palette: Palette) -> None:
    for polygon in polygons.walkways:
        raster.fill(polygon.exterior, palette.walkway)
    _paint_joints(raster, street, palette)
    for polygon in polygons.walkways:
        for hole in polygon.holes:
            raster.fill(hole, palette.planter)
            raster.line(hole, 0.15, palette.kerb, closed=True)


def _paint_joints(raster: Raster, street: Street, palette: Palette) -> None:
    """Draw the joints between the slabs of the walkways along the street and of the plazas."""
    stretches = [(street.s, side.sign * side.walk_from, side.sign * side.walk_to) for side in street.sides]
    stretches += [(plaza.s, plaza.sign * plaza.near, plaza.sign * plaza.far) for plaza in street.plazas]
    for (low, high), near, far in stretches:
        for s in np.arange(low, high, palette.joint_spacing):
            raster.line(
                street.centreline.points(np.array([s, s]), np.array([near, far])), 0.05, palette.joint
            )
        for t in np.arange(min(near, far), max(near, far), 2 * palette.joint_spacing)[1:]:
            raster.line(
                street.centreline.points(street.centreline.stations(low, high), float(t)), 0.05, palette.joint
            )


def _paint_wear(raster: Raster, street: Street, palette: Palette, rng: np.random.Generator) -> None:
    """Add repaired patches, wheel tracks, cracks and manhole covers to the street."""
    base = np.array(palette.asphalt[:3])
    for sign in (-1, 1):
        for lane in range(street.lanes):
            middle = street.lane_centre(sign, lane)
            for offset in (-0.8, 0.8):
                track = street.centreline.points(street.centreline.stations(*street.s), middle + offset)
                raster.line(track, 0.5, _rough(base * rng.uniform(0.93, 0.99), 22))
    for _ in range(int((street.s[1] - street.s[0]) / 12)):
        s, t = rng.uniform(*street.s), rng.uniform(-street.right.kerb, street.left.kerb - 2)
        length, width = rng.uniform(1, 7), rng.uniform(0.6, 2.0)
        patch = street.centreline.strip(s, s + length, t, min(t + width, street.left.kerb))
        raster.fill(patch, _rough(base * rng.uniform(0.78, 1.15), 30))
    for _ in range(int((street.s[1] - street.s[0]) / 8)):
        s, t = rng.uniform(*street.s), rng.uniform(-street.right.kerb + 1, street.left.kerb - 1)
        if rng.random() < 0.35:
            angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            cover = street.centreline.points(s + 0.35 * np.cos(angle), t + 0.35 * np.sin(angle))
            raster.fill(cover, _rough(base * 0.55, 20))
        else:
            drift = np.array([0.5 * rng.choice([-1, 1]), 0.0])
            steps = np.cumsum(rng.normal(0, 0.35, (8, 2)) + drift, axis=0)
            path = street.centreline.points(
                s + steps[:, 0], np.clip(t + steps[:, 1], -street.right.kerb, street.left.kerb)
            )
            raster.line(path, 0.06, _rough(base * 0.62, 20))


def _rough(colour: np.ndarray, roughness: float) -> Colour:
    blue, green, red = (float(value) for value in np.clip(colour, 0, 255))
    return blue, green, red, roughness
