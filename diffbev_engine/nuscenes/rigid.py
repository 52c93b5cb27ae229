"""Quaternions and rigid transforms of nuScenes, for many rows at once.

A quaternion is (w, x, y, z), scalar first, as nuScenes stores it.  A transform named
``a_from_b`` is a 4 x 4 matrix that takes homogeneous coordinates of frame b to frame a.
"""

import numpy as np


def rotation_matrices(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices of quaternions, which need not have length one.

    Args:
        quaternions: (..., 4), order w, x, y, z; non-zero.

    Returns:
        (..., 3, 3) float64; column k is the image of unit vector k.
    """
    quaternions = np.asarray(quaternions, np.float64)
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack(entries, axis=-1).reshape(*quaternions.shape[:-1], 3, 3)


def rigid_transforms(translations: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """Transforms that rotate, then translate.

    Args:
        translations: (..., 3) metres, the origin of frame b seen from frame a.
        quaternions: (..., 4), order w, x, y, z.

    Returns:
        (..., 4, 4) float64, ``a_from_b``.
    """
    translations = np.asarray(translations, np.float64)
    transforms = np.zeros((*translations.shape[:-1], 4, 4))
    transforms[..., :3, :3] = rotation_matrices(quaternions)
    transforms[..., :3, 3] = translations
    transforms[..., 3, 3] = 1.0
    return transforms
