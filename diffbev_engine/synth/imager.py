"""A vehicle's camera: how its lens and its sensor turn light into 8 bits."""

from dataclasses import dataclass

import cv2
import numpy as np

_REFERENCE_WIDTH = 1600.0
_TONE = 0.85  # exponent of the tone curve: a camera lifts the shadows
_MARGIN = 128
_STEPS = 4096
_TONES = np.round(255.0 * np.linspace(0, 1, _STEPS + 1) ** _TONE).astype(np.uint8)


@dataclass(frozen=True)
class Imager:
    """One camera."""

    blur: float
    """Standard deviation of the lens's point image, in pixels of a 1600 pixels wide image."""
    vignette: float
    """Share of light lost in the corners of the image."""
    balance: np.ndarray
    """(3,) white balance, BGR."""
    full_well: float
    """Electrons of a white pixel without amplification; their square root is the shot noise."""
    read_noise: float
    """Standard deviation, electrons."""
    jpeg_quality: int


def draw_imager(rng: np.random.Generator) -> Imager:
    """Draw a camera: no two vehicles carry the same."""
    return Imager(
        blur=float(rng.uniform(0.5, 1.5)),
        vignette=float(rng.uniform(0.05, 0.3)),
        balance=np.clip(rng.normal(1.0, 0.025, 3), 0.93, 1.07),
        full_well=float(rng.uniform(2500, 8000)),
        read_noise=float(rng.uniform(6, 18)),
        jpeg_quality=int(rng.integers(78, 96)),
    )


def noise_tile(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return noise (h, w, 3) float32 of deviation 1, larger than an image of ``shape``."""
    return rng.standard_normal((shape[0] + _MARGIN, shape[1] + _MARGIN, 3), dtype=np.float32)


def expose(
    light: np.ndarray, imager: Imager, gain: float, noise: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the picture (H, W, 3) uint8 that a camera takes of an image.

    Args:
        light: (H, W, 3) float32, linear, 1 as white.
        imager: The camera.
        gain: Amplification; the light that reaches the sensor is that much less.
        noise: What ``noise_tile`` made; every picture cuts its own piece.
        rng: Random stream.
    """
    height, width = light.shape[:2]
    sigma = imager.blur * width / _REFERENCE_WIDTH
    image = cv2.GaussianBlur(light, (0, 0), sigma) if sigma > 0.2 else light
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None]
    falloff = 1 - np.float32(2 * imager.vignette) * (x**2 + y**2)
    image = image * falloff[..., None] * imager.balance.astype(np.float32)
    np.maximum(image, 0.0, out=image)
    top, left = rng.integers(0, _MARGIN, 2)
    electron = np.float32(gain / imager.full_well)
    spread = image * electron
    spread += np.float32((imager.read_noise * electron) ** 2)
    np.sqrt(spread, out=spread)
    spread *= noise[top : top + height, left : left + width]
    image += spread
    np.maximum(image, 0.0, out=image)
    return _TONES[np.minimum(image * np.float32(_STEPS), _STEPS).astype(np.uint16)]
