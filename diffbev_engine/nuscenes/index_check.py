"""Whether a table index that was read from a file fits together."""

from dataclasses import fields

import numpy as np

from diffbev_engine.nuscenes.index import TableIndex

_ROWS_OF = {"sample_scene": "scenes", "frame_sample": "sample_token", "frame_camera": "cameras"}
_ROWS_OF |= {"frame_calibration": "calibration_pose", "lidar_calibration": "calibration_pose"}
_ROWS_OF |= {"box_category": "categories"}
_SAME_LENGTH = (
    ("scenes", "locations"),
    ("sample_token", "sample_scene", "lidar_file", "lidar_calibration", "lidar_pose"),
    ("calibration_pose", "calibration_intrinsics"),
    (
        "frame_token",
        "frame_sample",
        "frame_camera",
        "frame_timestamp",
        "frame_size",
        "frame_file",
        "frame_calibration",
        "frame_pose",
    ),
    ("box_category", "box_centre", "box_size", "box_rotation"),
)
_SHAPES = {"calibration_pose": (7,), "calibration_intrinsics": (3, 3), "frame_size": (2,), "frame_pose": (7,)}
_SHAPES |= {"lidar_pose": (7,), "box_centre": (3,), "box_size": (3,), "box_rotation": (4,)}
_TEXTS = (
    *("scenes", "locations", "cameras", "categories", "sample_token"),
    *("frame_token", "frame_file", "lidar_file"),
)
_ROWS_AT_ONCE = 10_000


def check_columns(index: TableIndex) -> None:
    """Make sure that an index read from a file can be used as one that was built.

    Raises:
        ValueError: naming the column that does not fit.
    """
    for field in fields(index):
        name, column = field.name, getattr(index, field.name)
        kinds = "S" if name in _TEXTS else "f" if name in _SHAPES and name != "frame_size" else "i"
        if column.dtype.kind not in kinds or column.shape[1:] != _SHAPES.get(name, ()) or not column.ndim:
            raise ValueError(f"{name} is {column.dtype} {column.shape}")
        if name in _TEXTS:
            for row in range(0, len(column), _ROWS_AT_ONCE):  # as objects they take much memory
                b"".join(column[row : row + _ROWS_AT_ONCE].tolist()).decode()
    for names in _SAME_LENGTH:
        if len({len(getattr(index, name)) for name in names}) > 1:
            raise ValueError(f"{names[0]} has other rows than {names[1]}")
    for name, of in _ROWS_OF.items():
        rows = getattr(index, name)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(getattr(index, of)):
            raise ValueError(f"{name} refers to rows that {of} does not have")
    starts = index.box_start
    good = len(starts) == len(index.sample_token) + 1 and starts[0] == 0 and starts[-1] == len(index.box_size)
    if not good or (np.diff(starts) < 0).any():
        raise ValueError("box_start does not fit the boxes")
