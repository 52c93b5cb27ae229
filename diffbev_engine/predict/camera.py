"""The camera of somebody's own images: its matrix, the size that belongs to, its lens.

Images are undistorted with the matrix unchanged, so that the network sees a pinhole camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from diffbev_engine.prepare.pinhole import pinhole_matrix, same_shape

_PINHOLE_COUNTS, _FISHEYE_COUNTS = (0, 4, 5, 8, 12, 14), (0, 4)
_MOST_DISTORTION = 1e6
_LONGEST_SIDE = 100_000


@dataclass(frozen=True)
class Camera:
    """A camera as calibrations describe it, checked.

    Raises:
        ValueError: what cannot be, as the end of a sentence.
    """

    matrix: np.ndarray
    """(3, 3) pixels, pixel centres at whole numbers, as in OpenCV and nuScenes."""
    size: tuple[int, int] | None = None
    """Width and height of the images that the matrix belongs to; ``None``: those that are given."""
    distortion: tuple[float, ...] = ()
    """OpenCV's coefficients, k1 k2 p1 p2 k3 …; empty: none."""
    fisheye: bool = False
    """Whether they are the four of OpenCV's fisheye model, which ROS calls equidistant."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", pinhole_matrix(self.matrix))
        if self.size is not None and not 1 <= min(self.size) <= max(self.size) <= _LONGEST_SIDE:
            raise ValueError(f"an image whose sides are not 1 to {_LONGEST_SIDE:,} pixels long")
        counts = _FISHEYE_COUNTS if self.fisheye else _PINHOLE_COUNTS
        if len(self.distortion) not in counts:
            expected = ", ".join(map(str, counts))
            raise ValueError(f"{len(self.distortion)} distortion coefficients, not {expected}")
        if not all(abs(value) < _MOST_DISTORTION for value in self.distortion):  # NaN is not below either
            raise ValueError("distortion coefficients that are not finite numbers of a sensible size")

    def scaled_to(self, width: int, height: int) -> np.ndarray:
        """The (3, 3) matrix for images of this size.

        Raises:
            ValueError: they were cropped or stretched.
        """
        if self.size is None or self.size == (width, height):
            return self.matrix
        own_width, own_height = self.size
        if not same_shape((width, height), self.size):
            raise ValueError(
                f"it is {width}x{height}, but the calibration is for {own_width}x{own_height}: it was "
                "cropped or stretched, so the calibration does not fit"
            )
        return np.diag([width / own_width, height / own_height, 1.0]) @ self.matrix

    def undistort(self, image: np.ndarray) -> np.ndarray:
        """The image (H, W, 3) that a pinhole camera with the same matrix would have taken.

        Raises:
            ValueError: an image of another shape than the camera's.
        """
        matrix = self.scaled_to(image.shape[1], image.shape[0])
        coefficients = np.array(self.distortion or (0.0,) * 4)
        if self.fisheye:  # without coefficients too it is no pinhole camera
            return np.asarray(cv2.fisheye.undistortImage(image, matrix, coefficients, Knew=matrix))
        if not coefficients.any():
            return image
        return np.asarray(cv2.undistort(image, matrix, coefficients))
