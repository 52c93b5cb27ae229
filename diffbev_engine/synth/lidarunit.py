"""A vehicle's LiDAR: how far off its ranges are, which returns it loses, how bright they seem."""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.solids import Material

BEAMS = 32
MAX_ERROR = 0.055  # metres: no range is farther off; less than the margin of the annotated boxes
_MAX_BIAS = 0.008
_THRESHOLD = 4e-6  # a return this strong is found with a chance of 1 - 1/e
_FOG_SHARE = 0.5  # infrared light gets through fog a little better
_SHINE = {
    Material.CONE: 1.6,
    Material.STRIPES: 1.5,
    Material.VEST: 1.8,
    Material.TYRE: 0.4,
    Material.LEAVES: 0.6,
}


@dataclass(frozen=True)
class LidarUnit:
    """One LiDAR."""

    sigma: float
    """Standard deviation of a range, metres."""
    bias: np.ndarray
    """(32,) metres by which the ranges of every beam are too long."""
    dropout: float
    """Share of strong returns that get lost."""
    gain: np.ndarray
    """(32,) factor on the intensity of every beam."""
    power: float
    """Factor on the strength of the beams."""

    def disturb(self, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the ranges (32, C) that the unit reads where the true ones are ``distance``."""
        noise = self.sigma * rng.standard_normal(distance.shape) + self.bias[:, None]
        return distance + np.clip(noise, -MAX_ERROR, MAX_ERROR)

    def returns(
        self,
        distance: np.ndarray,
        reflectivity: np.ndarray,
        incidence: np.ndarray,
        haze_length: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return whether rays (32, C) bring a return back.

        Args:
            distance: Metres.
            reflectivity: 0 to 1, more for what is made to shine back.
            incidence: Cosine of the angle at which the surface is met; ground far away is met at a
                grazing angle and often sends nothing back.
            haze_length: Metres after which the air leaves 1/e of the light.
            rng: Random stream.
        """
        air = np.exp(-2 * _FOG_SHARE * distance / haze_length)
        strength = self.power * reflectivity * incidence * air / np.square(distance)
        found = -np.expm1(-strength / _THRESHOLD) * (1 - self.dropout)
        return rng.random(distance.shape) < found

    def intensity(self, reflectivity: np.ndarray, incidence: np.ndarray) -> np.ndarray:
        """Return intensities (32, C), 0 to 255: more for bright surfaces that are met head on."""
        bright = 75.0 * reflectivity * (0.4 + 0.6 * incidence) * self.gain[:, None]
        return np.clip(np.round(bright), 0, 255)


def draw_lidar_unit(rng: np.random.Generator) -> LidarUnit:
    """Draw a LiDAR: no two vehicles carry the same."""
    return LidarUnit(
        sigma=float(rng.uniform(0.008, 0.018)),
        bias=np.clip(rng.normal(0, 0.004, BEAMS), -_MAX_BIAS, _MAX_BIAS),
        dropout=float(rng.uniform(0.015, 0.06)),
        gain=np.clip(rng.normal(1.0, 0.1, BEAMS), 0.7, 1.3),
        power=float(rng.uniform(0.7, 1.4)),
    )


def reflectivities(colour: np.ndarray, material: np.ndarray) -> np.ndarray:
    """Return the reflectivity (P,) of solids of colours (P, 3) and materials (P,)."""
    shine = np.array([_SHINE.get(Material(value), 1.0) for value in material])
    return np.maximum(np.mean(colour, axis=1), 0.04) * shine
