"""The white and yellow paint on roads, crossings and car parks."""

import numpy as np

from diffbev_engine.synth.raster import Raster, cloudy_noise
from diffbev_engine.synth.street import LEFT, RIGHT, CarPark, Crossing, Interval, Street, free_intervals

_ROUGHNESS = 14.0
_TILE = 512


def paint_markings(raster: Raster, street: Street, rng: np.random.Generator) -> None:
    """Paint all markings of a street onto its raster, new ones or worn ones."""
    before = raster.image.copy()
    shade = float(rng.uniform(185, 225))
    white = (shade, shade, shade, _ROUGHNESS)
    yellow = (0.3 * shade, 0.72 * shade, 0.85 * shade, _ROUGHNESS)
    _paint_lanes(raster, street, white, yellow if rng.random() < 0.6 else white)
    for junction in street.junctions:
        for sign in junction.arms:
            near = street.side(sign).kerb + junction.radius + 4.5
            t = sign * np.array([near, junction.reach])
            raster.line(street.centreline.points(np.full(2, junction.s), t), 0.15, white)
    for crossing in street.crossings:
        _paint_crossing(raster, street, crossing, white)
    for park in street.car_parks:
        _paint_bays(raster, street, park, white)
    wear_off(raster, before, float(rng.uniform(0, 1)), rng)


def wear_off(raster: Raster, before: np.ndarray, wear: float, rng: np.random.Generator) -> None:
    """Let what was painted since ``before`` fade and flake off.

    Args:
        raster: The ground, changed in place.
        before: Its image (H, W, 4) without the paint.
        wear: 0 for new paint, 1 for paint that is half gone.
        rng: Random stream.
    """
    noise = cloudy_noise(rng, _TILE, ((256, 0.7), (64, 0.8), (16, 0.7)))
    noise = np.clip(2.5 * (noise / noise.std() + 2.4 * (1 - wear)) + 0.5, 0, 1) * (1 - 0.3 * wear)
    rows, columns = np.nonzero(raster.image[..., 0] != before[..., 0])
    left = noise[rows % _TILE, columns % _TILE][:, None]
    worn = before[rows, columns]
    fresh = raster.image[rows, columns].astype(np.float32)
    raster.image[rows, columns] = np.round(worn + left * (fresh - worn)).astype(np.uint8)


def _paint_lanes(raster: Raster, street: Street, white: tuple[float, ...], middle: tuple[float, ...]) -> None:
    blocked = [(j.s - j.mouth, j.s + j.mouth) for j in street.junctions]
    blocked += [(c.s[0] - 1.6, c.s[1] + 1.6) for c in street.crossings if c.over_street]
    for stretch in free_intervals(blocked, street.s, 1.0):
        gap = max(street.median / 2, 0.12)
        for t in (-gap, gap):
            _line(raster, street, stretch, t, middle, 0.13)
        for sign in (LEFT, RIGHT):
            for lane in range(1, street.lanes):
                t = sign * (street.median / 2 + lane * street.lane_width)
                for s in np.arange(stretch[0], stretch[1] - 1.5, 6.0):
                    _line(raster, street, (float(s), min(float(s) + 3.0, stretch[1])), t, white, 0.14)
            _line(raster, street, stretch, sign * street.lane_edge(), white, 0.13)
        _paint_arrows(raster, street, stretch, white)


def _paint_arrows(raster: Raster, street: Street, stretch: Interval, white: tuple[float, ...]) -> None:
    """Paint an arrow before the end of a long stretch on multi-lane streets."""
    if street.lanes < 2 or stretch[1] - stretch[0] < 25:
        return
    shape = np.array([[0, 0.08], [2.2, 0.08], [2.2, 0.35], [3.6, 0], [2.2, -0.35], [2.2, -0.08], [0, -0.08]])
    for sign in (LEFT, RIGHT):
        for lane in range(street.lanes):
            start = stretch[1] - 12 if sign == RIGHT else stretch[0] + 12
            t = street.lane_centre(sign, lane)
            raster.fill(street.centreline.points(start - sign * shape[:, 0], t + shape[:, 1]), white)


def _paint_crossing(raster: Raster, street: Street, crossing: Crossing, white: tuple[float, ...]) -> None:
    (s_low, s_high), (t_low, t_high) = crossing.s, crossing.t
    place = street.centreline.strip
    if crossing.stripes:
        if crossing.over_street:
            for t in np.arange(t_low + 0.3, t_high - 0.5, 1.0):
                raster.fill(place(s_low, s_high, float(t), float(t) + 0.5), white)
        else:
            for s in np.arange(s_low + 0.3, s_high - 0.5, 1.0):
                raster.fill(place(float(s), float(s) + 0.5, t_low, t_high), white)
    elif crossing.over_street:
        for s in (s_low, s_high - 0.3):
            raster.fill(place(s, s + 0.3, t_low, t_high), white)
    else:
        for t in (t_low, t_high - 0.3):
            raster.fill(place(s_low, s_high, t, t + 0.3), white)
    if crossing.over_street:
        for stop, sign in ((s_low - 1.3, RIGHT), (s_high + 1.0, LEFT)):
            inner, outer = sign * street.median / 2, sign * street.lane_edge()
            raster.fill(place(stop, stop + 0.3, min(inner, outer), max(inner, outer)), white)


def _paint_bays(raster: Raster, street: Street, park: CarPark, white: tuple[float, ...]) -> None:
    for s, t in park.bays():
        for edge in (s - park.bay_width / 2, s + park.bay_width / 2):
            ends = np.array([t - park.bay_depth / 2 + 0.1, t + park.bay_depth / 2 - 0.1])
            raster.line(street.centreline.points(np.full(2, edge), ends), 0.11, white)


def _line(
    raster: Raster, street: Street, stretch: Interval, t: float, colour: tuple[float, ...], width: float
) -> None:
    raster.line(street.centreline.points(street.centreline.stations(*stretch), t), width, colour)
