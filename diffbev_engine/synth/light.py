"""The light of a scene: sun, sky, haze.  Colours are BGR with 1 as display white."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """Constant over one scene."""

    kind: str
    """sunny, overcast or evening."""
    to_sun: np.ndarray
    """(3,) unit vector in the world."""
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
    sensor_noise: float
    """Standard deviation, in 8-bit steps."""
    vignette: float
    """Share of light lost in the corners of the image."""


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the weather and the time of day: sunny, overcast or evening."""
    kind = str(rng.choice(["sunny", "overcast", "evening"], p=[0.5, 0.32, 0.18]))
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.radians(
        {"sunny": rng.uniform(28, 65), "overcast": 80.0, "evening": rng.uniform(9, 20)}[kind]
    )
    to_sun = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    if kind == "sunny":
        sun, sky = np.array([0.86, 0.97, 1.0]) * rng.uniform(1.0, 1.4), np.array([0.8, 0.71, 0.65])
        zenith, horizon = np.array([0.86, 0.58, 0.33]), np.array([0.97, 0.9, 0.82])
    elif kind == "overcast":
        sun, sky = np.array([0.3, 0.3, 0.3]), np.array([0.82, 0.8, 0.78])
        zenith, horizon = np.array([0.74, 0.71, 0.69]), np.array([0.88, 0.87, 0.86])
    else:
        sun, sky = np.array([0.5, 0.74, 1.0]) * rng.uniform(1.2, 1.8), np.array([0.74, 0.66, 0.64])
        zenith, horizon = np.array([0.62, 0.45, 0.36]), np.array([0.55, 0.72, 0.93])
    # The camera's exposure settles on the ground: a level grey surface keeps its albedo.
    exposure = rng.uniform(1.0, 1.45) / float(np.mean(sky + sun * to_sun[2]))
    tint = rng.normal(1.0, 0.03, 3)
    return Light(
        kind=kind,
        to_sun=to_sun,
        sun=sun * exposure * tint,
        sky_light=sky * exposure * tint,
        zenith=zenith * rng.uniform(0.9, 1.08),
        horizon=np.minimum(horizon * rng.uniform(0.92, 1.05), 1.0),
        cloud=float(rng.uniform(0.1, 0.9)),
        haze_length=float(rng.uniform(160, 600)),
        shadow_blur={"sunny": 0.12, "overcast": 0.45, "evening": 0.25}[kind],
        sensor_noise=float(rng.uniform(1.0, 4.0)),
        vignette=float(rng.uniform(0.05, 0.25)),
    )
