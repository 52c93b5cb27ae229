"""The matrix of a pinhole camera, as numbers from outside give it; light but for NumPy."""

from collections.abc import Sequence

import numpy as np

_SAME_SHAPE = 0.01
"""Share by which the aspect ratio of a resized image may differ: rounding of its size."""


def pinhole_matrix(rows: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The (3, 3) float64 matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels; the lift relies on this form.

    Raises:
        ValueError: why it is none, as the end of a sentence.
    """
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths, words, endless numbers
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError("not a finite 3x3 matrix")
    skewed = matrix[0, 1] or matrix[1, 0] or matrix[2].tolist() != [0.0, 0.0, 1.0]
    if skewed or matrix[[0, 1], [0, 1]].min() <= 0:
        raise ValueError("not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    return matrix


def same_shape(size: tuple[int, int], original: tuple[int, int]) -> bool:
    """Whether an image of ``size`` (width, height) is a resized one, not cropped or stretched."""
    return abs(size[0] * original[1] / (size[1] * original[0]) - 1) <= _SAME_SHAPE
