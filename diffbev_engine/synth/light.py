"""The light of a scene: sun, sky, haze, lamps.  Colours are BGR with 1 as display white."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Weather:
    """One kind of weather and time of day; pairs are the ends of a range."""

    share: float
    """Of all scenes."""
    elevation: tuple[float, float]
    """Of the sun above the horizon, degrees."""
    sun: tuple[float, float, float]
    """Light of the sun relative to that of the sky."""
    strength: tuple[float, float]
    """Factor on the light of the sun."""
    sky: tuple[float, float, float]
    """Light of the sky."""
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    haze: tuple[float, float]
    """Metres after which 1/e of an object's contrast is left."""
    shadow_blur: float
    exposure: tuple[float, float]
    """Brightness of a level white surface."""
    gain: tuple[float, float]
    """Amplification in the camera."""
    lamps: float = 0.0


WEATHER = {
    "sunny": Weather(
        0.36,
        (24, 65),
        (0.86, 0.97, 1.0),
        (1.0, 1.5),
        (0.8, 0.71, 0.65),
        (0.86, 0.58, 0.33),
        (0.97, 0.9, 0.82),
        haze=(200, 700),
        shadow_blur=0.12,
        exposure=(0.9, 1.5),
        gain=(1.0, 1.0),
    ),
    "overcast": Weather(
        0.24,
        (80, 80),
        (0.3, 0.3, 0.3),
        (0.7, 1.0),
        (0.82, 0.8, 0.78),
        (0.74, 0.71, 0.69),
        (0.88, 0.87, 0.86),
        haze=(130, 500),
        shadow_blur=0.45,
        exposure=(0.8, 1.4),
        gain=(1.0, 2.0),
    ),
    "evening": Weather(
        0.16,
        (8, 20),
        (0.5, 0.74, 1.0),
        (0.9, 1.4),
        (0.74, 0.66, 0.64),
        (0.62, 0.45, 0.36),
        (0.55, 0.72, 0.93),
        haze=(160, 600),
        shadow_blur=0.25,
        exposure=(0.75, 1.4),
        gain=(1.5, 3.0),
        lamps=0.25,
    ),
    "fog": Weather(
        0.08,
        (80, 80),
        (0.1, 0.1, 0.1),
        (0.5, 1.0),
        (0.82, 0.81, 0.8),
        (0.8, 0.79, 0.78),
        (0.82, 0.81, 0.8),
        haze=(40, 95),
        shadow_blur=0.8,
        exposure=(0.8, 1.2),
        gain=(1.5, 3.0),
        lamps=0.25,
    ),
    "night": Weather(
        0.16,
        (55, 75),
        (0.8, 0.7, 0.6),
        (0.05, 0.15),
        (0.75, 0.72, 0.75),
        (0.03, 0.02, 0.018),
        (0.085, 0.07, 0.075),
        haze=(160, 500),
        shadow_blur=0.6,
        exposure=(0.08, 0.2),
        gain=(5.0, 10.0),
        lamps=1.0,
    ),
}


@dataclass(frozen=True)
class Light:
    """Constant over one scene."""

    kind: str
    """A key of ``WEATHER``."""
    to_sun: np.ndarray
    """(3,) unit vector in the world; at night to the moon."""
    sun: np.ndarray
    """(3,) light of the sun on a surface that faces it, exposure included."""
    sky_light: np.ndarray
    """(3,) light from the whole sky on a level surface, exposure included."""
    zenith: np.ndarray
    """(3,) colour of the sky overhead."""
    horizon: np.ndarray
    """(3,) colour of the sky at the horizon; also of the haze."""
    cloud: float
    """Contrast of the clouds, 0 to 1."""
    haze_length: float
    """Metres after which 1/e of an object's contrast is left."""
    shadow_blur: float
    """Metres over which a shadow fades out."""
    gain: float
    """Amplification in the camera, which amplifies its noise as well; 1 in bright light."""
    lamps: float
    """How bright lamps look next to everything else: 0 when they are off, 1 at night."""

    @property
    def dark(self) -> bool:
        """Whether lamps light up their surroundings."""
        return self.lamps > 0.5


def weather_at(position: float) -> str:
    """Return the kind of weather at a position, 0 to 1, when all are laid out by their shares."""
    ends = np.cumsum([weather.share for weather in WEATHER.values()])
    return list(WEATHER)[min(int(np.searchsorted(ends, position, side="right")), len(WEATHER) - 1)]


def draw_light(rng: np.random.Generator, kind: str) -> Light:
    """Draw the light of one scene in a ``kind`` of weather."""
    weather = WEATHER[kind]
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*weather.elevation))
    to_sun = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    sun, sky = np.array(weather.sun) * rng.uniform(*weather.strength), np.array(weather.sky)
    # The camera's exposure settles on the ground: a level surface keeps its albedo, more or less.
    exposure = rng.uniform(*weather.exposure) / float(np.mean(sky + sun * to_sun[2]))
    tint = rng.normal(1.0, 0.03, 3)
    return Light(
        kind=kind,
        to_sun=to_sun,
        sun=sun * exposure * tint,
        sky_light=sky * exposure * tint,
        zenith=np.array(weather.zenith) * rng.uniform(0.9, 1.08),
        horizon=np.minimum(np.array(weather.horizon) * rng.uniform(0.92, 1.05), 1.0),
        cloud=float(rng.uniform(0.1, 0.9)),
        haze_length=float(rng.uniform(*weather.haze)),
        shadow_blur=weather.shadow_blur,
        gain=float(rng.uniform(*weather.gain)),
        lamps=weather.lamps,
    )
