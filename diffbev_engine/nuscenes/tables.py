"""The nuScenes tables as this project needs them: camera key-frames, their LiDAR sweep and boxes.

Frames of reference: *camera* (x right, y down, z forward), *lidar*, *ego* (x forward, y
left, z up, at the time of the sensor) and *world* (the map of the city).  Metres
everywhere.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.nuscenes.cache import open_index
from diffbev_engine.nuscenes.index import TableIndex
from diffbev_engine.nuscenes.rigid import rigid_transforms, rotation_matrices
from diffbev_engine.nuscenes.versions import find_version

_FRAMES_AT_ONCE = 1024

# The bottom corners of a box of unit size around its centre, in the order of the
# devkit's `Box.bottom_corners`: front right, front left, back left, back right.
_BOTTOM_CORNERS = np.array([[1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, -1]]) / 2


@dataclass(frozen=True, eq=False, slots=True)
class LidarSweep:
    """The key-frame sweep of LIDAR_TOP of one sample."""

    path: Path
    """Absolute path of the ``.pcd.bin`` file."""
    ego_from_lidar: np.ndarray
    """(4, 4) float64."""
    world_from_ego: np.ndarray
    """(4, 4) float64, at the time of the sweep."""

    @property
    def world_from_lidar(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.world_from_ego @ self.ego_from_lidar


@dataclass(frozen=True, eq=False, slots=True)
class CameraFrame:
    """One key-frame image with its calibration and poses."""

    token: str
    """Token of the image in ``sample_data``; names the files of the data root."""
    sample_token: str
    scene: str
    """Name, such as ``scene-0523``."""
    location: str
    """Name of the map, such as ``boston-seaport``."""
    camera: str
    """Channel, such as ``CAM_FRONT``."""
    timestamp: int
    """Microseconds."""
    image_path: Path
    """Absolute path of the image."""
    width: int
    height: int
    intrinsics: np.ndarray
    """(3, 3) float64, pixels at ``width`` x ``height``."""
    ego_from_camera: np.ndarray
    """(4, 4) float64."""
    world_from_ego: np.ndarray
    """(4, 4) float64, at the time of the image."""
    lidar: LidarSweep | None
    """None where the sample has no LIDAR_TOP key-frame."""

    @property
    def world_from_camera(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.world_from_ego @ self.ego_from_camera


@dataclass(frozen=True, eq=False, slots=True)
class Boxes:
    """The N annotated boxes of one sample, in the order of the annotation table."""

    categories: tuple[str, ...]
    """N nuScenes category names, such as ``vehicle.car``."""
    centres: np.ndarray
    """(N, 3) float64, world, metres."""
    sizes: np.ndarray
    """(N, 3) float64: width, length, height in metres."""
    rotations: np.ndarray
    """(N, 4) float64, world from box, quaternions w, x, y, z."""

    def __len__(self) -> int:
        return len(self.categories)

    def take(self, which: np.ndarray) -> "Boxes":
        """Those at these positions."""
        return Boxes(
            categories=tuple(self.categories[position] for position in which.tolist()),
            centres=self.centres[which],
            sizes=self.sizes[which],
            rotations=self.rotations[which],
        )

    def bottom_corners(self) -> np.ndarray:
        """(N, 4, 3) float64, world, metres: front right, front left, back left, back right.

        Order and values are those of the devkit's ``Box.bottom_corners``.  A box's x axis
        points along its length (forward), y along its width (left), z up.
        """
        length_width_height = self.sizes[:, [1, 0, 2]]
        corners = _BOTTOM_CORNERS * length_width_height[:, None, :]  # (N, 4, 3), box frame
        return corners @ rotation_matrices(self.rotations).swapaxes(1, 2) + self.centres[:, None, :]


class Frames(Sequence[CameraFrame]):
    """Frames that are made when they are asked for: all those of trainval at once would take 350 MB."""

    def __init__(self, make: Callable[[np.ndarray], list[CameraFrame]], rows: np.ndarray) -> None:
        self._make = make
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> CameraFrame: ...
    @overload
    def __getitem__(self, index: slice) -> "Frames": ...
    def __getitem__(self, index: int | slice) -> "CameraFrame | Frames":
        if isinstance(index, slice):
            return self.take(index)
        return self._make(self._rows[index : index + 1 or None])[0]

    def __iter__(self) -> Iterator[CameraFrame]:
        for start in range(0, len(self), _FRAMES_AT_ONCE):
            yield from self._make(self._rows[start : start + _FRAMES_AT_ONCE])

    def take(self, which: np.ndarray | slice) -> "Frames":
        """Those at some positions, or where a mask is true."""
        return Frames(self._make, self._rows[which])


class Tables:
    """Camera key-frames, their LiDAR sweeps and boxes of one nuScenes version."""

    def __init__(self, root: Path, version: str, index: TableIndex):
        self.root = root
        self.version = version
        self._index = index
        self._cameras = _strings(index.cameras)
        self._sample_rows: dict[str, int] | None = None

    @classmethod
    def open(cls, nuscenes_root: Path, version: str | None = None, cache_dir: Path | None = None) -> "Tables":
        """Open the tables below ``nuscenes_root``; the first time reads them all, later ones an index.

        Args:
            nuscenes_root: the folder that holds ``samples`` and ``v1.0-...``.
            version: folder of the tables, such as ``v1.0-mini``; found when there is only one.
            cache_dir: where to keep the index; by default next to the tables, or in the user's
                cache folder when that is read-only.

        Raises:
            UsageError: no such root or version, or several versions and none chosen.
            DiffBEVError: missing or damaged tables, or an unwritable ``cache_dir``.
        """
        root = nuscenes_root.absolute()
        version = find_version(root, version)
        return cls(root, version, open_index(root / version, cache_dir))

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of all scenes, sorted."""
        return _strings(self._index.scenes)

    @property
    def cameras_present(self) -> tuple[str, ...]:
        """Channels that have key-frames, in the usual order of cameras."""
        return self._cameras

    def frames(self, cameras: Sequence[str], scenes: Collection[str] | None = None) -> Frames:
        """Key-frames of ``cameras``, of all scenes or the given ones, sorted by (scene, time, camera).

        Raises:
            UsageError: a camera or scene that these tables do not have.
        """
        return Frames(self._make_frames, self._select(cameras, scenes))

    def tokens(self, cameras: Sequence[str], scenes: Collection[str] | None = None) -> list[str]:
        """Tokens of what `frames` would return, in its order, without making the frames."""
        return list(_strings(self._index.frame_token[self._select(cameras, scenes)]))

    def frames_of(self, tokens: Collection[str]) -> Frames:
        """The frames of those of ``tokens`` that these tables have, sorted as `frames` does."""
        wanted = frozenset(tokens)
        known = self._index.frame_token
        rows = (row for row, token in enumerate(known) if token.decode() in wanted)
        return Frames(self._make_frames, np.fromiter(rows, np.intp))

    def unannotated_scenes(self) -> frozenset[str]:
        """Scenes whose samples have not a single box: what is there is unknown, not absent."""
        index = self._index
        boxes = np.bincount(index.sample_scene, weights=np.diff(index.box_start), minlength=len(index.scenes))
        return frozenset(name for name, count in zip(self.scenes, boxes, strict=True) if not count)

    def boxes(self, sample_token: str) -> Boxes:
        """The annotated boxes of a sample, in the order of the annotation table.

        Raises:
            DiffBEVError: these tables do not have that sample.
        """
        if self._sample_rows is None:
            tokens = _strings(self._index.sample_token)
            self._sample_rows = {token: row for row, token in enumerate(tokens)}
        if sample_token not in self._sample_rows:
            raise DiffBEVError(f"sample {sample_token!r} is not in {self.root / self.version}")
        index, row = self._index, self._sample_rows[sample_token]
        span = slice(index.box_start[row], index.box_start[row + 1])
        return Boxes(
            categories=_strings(index.categories[index.box_category[span]]),
            centres=index.box_centre[span],
            sizes=index.box_size[span],
            rotations=index.box_rotation[span],
        )

    def _select(self, cameras: Sequence[str], scenes: Collection[str] | None) -> np.ndarray:
        index = self._index
        camera_wanted = _membership("camera", cameras, self._cameras, self.root / self.version)
        selected = camera_wanted[index.frame_camera]
        if scenes is not None:
            scene_wanted = _membership("scene", scenes, self.scenes, self.root / self.version)
            selected &= scene_wanted[index.sample_scene[index.frame_sample]]
        return np.flatnonzero(selected)

    def _make_frames(self, rows: np.ndarray) -> list[CameraFrame]:
        index = self._index
        samples, calibrations = index.frame_sample[rows], index.frame_calibration[rows]
        scene_rows = index.sample_scene[samples]
        sweeps = self._sweeps(samples)
        columns = zip(
            _strings(index.frame_token[rows]),
            _strings(index.sample_token[samples]),
            _strings(index.scenes[scene_rows]),
            _strings(index.locations[scene_rows]),
            (self._cameras[camera] for camera in index.frame_camera[rows]),
            index.frame_timestamp[rows].tolist(),
            (self.root / file for file in _strings(index.frame_file[rows])),
            *index.frame_size[rows].T.tolist(),
            index.calibration_intrinsics[calibrations],
            _transforms(index.calibration_pose[calibrations]),
            _transforms(index.frame_pose[rows]),
            (sweeps[sample] for sample in samples.tolist()),
            strict=True,
        )
        return [CameraFrame(*values) for values in columns]

    def _sweeps(self, samples: np.ndarray) -> dict[int, LidarSweep | None]:
        """Sample row to sweep; the cameras of a sample share one."""
        index, unique = self._index, np.unique(samples)
        columns = zip(
            unique.tolist(),
            _strings(index.lidar_file[unique]),
            _transforms(index.calibration_pose[index.lidar_calibration[unique]]),
            _transforms(index.lidar_pose[unique]),
            strict=True,
        )
        return {
            sample: LidarSweep(self.root / file, ego_from_lidar, world_from_ego) if file else None
            for sample, file, ego_from_lidar, world_from_ego in columns
        }


def _membership(kind: str, wanted: Collection[str], known: Sequence[str], where: Path) -> np.ndarray:
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        shown = ", ".join(known[:10]) + (f", ... ({len(known)})" if len(known) > 10 else "")
        raise UsageError(f"no {kind} {', '.join(unknown)} in {where}; there is {shown or 'none'}")
    return np.array([name in wanted for name in known], bool)


def _strings(column: np.ndarray) -> tuple[str, ...]:
    return tuple(value.decode() for value in column.tolist())


def _transforms(poses: np.ndarray) -> np.ndarray:
    return rigid_transforms(poses[:, :3], poses[:, 3:])
