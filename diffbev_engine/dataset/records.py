"""The list of samples of a data root: which files belong to which token."""

import os
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np

from diffbev_engine.core.cameras import ALL, includes
from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import did_you_mean
from diffbev_engine.findings.depth_coverage import DepthCoverage, depth_coverage
from diffbev_engine.prepare.data_root import DataRoot, Files, IndexEntry
from diffbev_engine.prepare.pinhole import pinhole_matrix

Split = Literal["train", "val"]
T = TypeVar("T")
_PROVENANCE = ("version", "split", "cameras", "raster", "map_version", "complete", "images", "scenes")


@dataclass(frozen=True)
class SampleRecord:
    """One image with its label; paths only, nothing is opened."""

    token: str
    image: Path
    label: Path
    depth: Path
    intrinsics: np.ndarray = field(repr=False)
    """(3, 3), for the image at its original resolution."""
    camera: str | None
    scene: str | None
    known: np.ndarray = field(repr=False)
    """(14,) bool; False where nobody annotated the class, on the map or as boxes."""
    size: tuple[int, int] | None = None
    """Width and height of the original image, to which the intrinsics belong; the file may be smaller.
    None where the data root does not record it: then the file is the original."""


class SampleRecords(Sequence[SampleRecord]):
    """The samples of a split, some fifty bytes each; a record is made when it is asked for.

    Loader processes share the arrays with the training process.  Of a list of records each process
    would soon have a copy: to use an object is to write to it, as Python counts references.
    """

    def __init__(self, make: "RecordMaker", tokens: Sequence[str], images: Files, labels: Files) -> None:
        count = len(tokens)
        self._tokens = np.array([os.fsencode(token) for token in tokens], np.bytes_)
        self._image_endings = _Column((images.endings[token] for token in tokens), count)
        self._label_endings = _Column((labels.endings[token] for token in tokens), count)
        self._origins = _Column((make.origin(token) for token in tokens), count)
        self._intrinsics = _Column((make.pinhole(token) for token in tokens), count, key=id)
        self._image_dir, self._label_dir, self._depth_dir = images.folder, labels.folder, make.depth_dir
        self._sizes = make.sizes

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, index: int) -> SampleRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SampleRecord]: ...
    def __getitem__(self, index: int | slice) -> SampleRecord | list[SampleRecord]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        token = os.fsdecode(self._tokens[index])
        return _record(
            token,
            self._image_dir / (token + self._image_endings[index]),
            self._label_dir / (token + self._label_endings[index]),
            self._depth_dir,
            self._intrinsics[index],
            self._origins[index],
            self._sizes,
        )

    def one_of_each_camera(self) -> list[SampleRecord]:
        """A record for every pair of intrinsics and camera name that occurs."""
        pairs = np.stack([self._intrinsics.rows, self._origins.rows])
        return [self[int(index)] for index in np.unique(pairs, axis=1, return_index=True)[1]]

    def cameras(self) -> dict[str, str | None]:
        """The camera of every image by token, None where it is not known."""
        return {os.fsdecode(token): self._origins[row].camera for row, token in enumerate(self._tokens)}


class _Origin(NamedTuple):
    """What many images have in common."""

    camera: str | None = None
    scene: str | None = None
    unlabelled: tuple[str, ...] = ()


class _Column(Generic[T]):
    """Values of which few differ: a number per row."""

    def __init__(
        self, values: Iterable[T], count: int, key: Callable[[T], Hashable] = lambda value: value
    ) -> None:
        numbers: dict[Hashable, int] = {}
        self._values: list[T] = []

        def number(value: T) -> int:
            found = numbers.setdefault(key(value), len(numbers))
            if found == len(self._values):
                self._values.append(value)
            return found

        self.rows = np.fromiter(map(number, values), np.int32, count)

    def __getitem__(self, row: int) -> T:
        return self._values[self.rows[row]]


def read_records(data_root: Path, split: Split, cameras: str) -> SampleRecords:
    """List the samples of a split, sorted by token.

    Args:
        data_root: as written by `prepare`, or by another tool with the same layout.
        split: part of it.
        cameras: which images, as `standard_cameras` writes it.

    Raises:
        DiffBEVError: a missing data root or folder, an empty split, an image without label
            or intrinsics; the message states which command writes what is missing.
    """
    root = DataRoot(data_root)
    _require(root.image_dir(split))
    _require(root.label_dir(split))
    images, labels = root.images(split), root.labels(split)
    index = _index_of(root, split, cameras)
    tokens = sorted(images if index is None else images.keys() & index.keys())
    if not tokens:
        raise DiffBEVError(_empty_split_message(data_root, split, cameras, len(images)))
    calibration = root.read_calib()
    _check_complete(tokens, calibration, labels, root.label_dir(split))
    return SampleRecords(RecordMaker(root, split, calibration, index or {}), tokens, images, labels)


def coverage_of(records: Sequence[SampleRecord], image_size: tuple[int, int]) -> DepthCoverage:
    """How many of these samples have depth ground truth at ``image_size``."""
    known = records.cameras() if isinstance(records, SampleRecords) else None
    cameras = known or {record.token: record.camera for record in records}
    return depth_coverage(records[0].depth.parent, cameras, image_size)


def read_provenance(data_root: Path) -> dict[str, Any]:
    """How the data root was made (``prepare.json``); empty for one made by other tools."""
    record = DataRoot(data_root).read_record()
    return {} if record is None else {name: getattr(record, name) for name in _PROVENANCE}


class RecordMaker:
    """Makes the records of one split from the registers of its data root."""

    def __init__(
        self,
        root: DataRoot,
        split: str,
        calibration: Mapping[str, list[list[float]]],
        index: Mapping[str, IndexEntry],
    ) -> None:
        prepared = root.read_record()
        self.sizes = prepared.image_sizes if prepared else {}
        self.depth_dir = root.depth_dir(split)
        self._calibration = calibration
        self._index = index
        self._pinholes: dict[int, np.ndarray] = {}

    def __call__(self, token: str, image: Path, label: Path) -> SampleRecord:
        """The record of one image.

        Raises:
            DiffBEVError: its intrinsics are not those of a pinhole camera.
        """
        return _record(
            token, image, label, self.depth_dir, self.pinhole(token), self.origin(token), self.sizes
        )

    def origin(self, token: str) -> _Origin:
        """Camera, scene and classes without annotation of an image."""
        entry = self._index.get(token)
        return _Origin(entry.camera, entry.scene, entry.unlabelled) if entry else _Origin()

    def size(self, token: str) -> tuple[int, int] | None:
        """Width and height that the intrinsics of an image belong to, where they are recorded."""
        return self.sizes.get(self.origin(token).camera or "")

    def pinhole(self, token: str) -> np.ndarray:
        """(3, 3) intrinsics of an image; the same array for those that share them in ``calibration``.

        Raises:
            DiffBEVError: its intrinsics are not those of a pinhole camera.
        """
        rows = self._calibration[token]
        if id(rows) not in self._pinholes:
            self._pinholes[id(rows)] = _pinhole(token, rows)
        return self._pinholes[id(rows)]


def _record(
    token: str,
    image: Path,
    label: Path,
    depth_dir: Path,
    intrinsics: np.ndarray,
    origin: _Origin,
    sizes: Mapping[str, tuple[int, int]],
) -> SampleRecord:
    return SampleRecord(
        token=token,
        image=image,
        label=label,
        depth=depth_dir / f"{token}.npz",
        intrinsics=intrinsics,
        camera=origin.camera,
        scene=origin.scene,
        known=_known(origin.unlabelled),
        size=sizes.get(origin.camera) if origin.camera else None,
    )


@lru_cache
def _known(unlabelled: tuple[str, ...]) -> np.ndarray:
    return np.array([name not in unlabelled for name in CLASSES])


def _pinhole(token: str, intrinsics: list[list[float]]) -> np.ndarray:
    """The (3, 3) matrix; the lift relies on a pinhole camera without skew."""
    try:
        return pinhole_matrix(intrinsics)
    except ValueError as error:
        advice = "" if "finite" in str(error) else " Run `diffbev-engine prepare` again."
        raise DiffBEVError(f"calib.json: the intrinsics of {token} are {error}.{advice}") from error


def _index_of(root: DataRoot, split: str, cameras: str) -> dict[str, IndexEntry] | None:
    if not root.index_path.exists():
        if cameras != ALL:
            raise DiffBEVError(
                f"{root.index_path} is missing, so the camera of each image is unknown. Run "
                f"`diffbev-engine prepare` to create it, or set data.cameras='all'."
            )
        return None
    entries = (entry for entry in root.iterate_index() if entry.split == split)
    return {entry.token: entry for entry in entries if includes(cameras, entry.camera)}


def _check_complete(
    tokens: list[str], calibration: Container[str], labels: Container[str], label_dir: Path
) -> None:
    unlabelled = [token for token in tokens if token not in labels]
    if unlabelled:
        raise DiffBEVError(
            f"{len(unlabelled)} of {len(tokens)} images have no label in {label_dir}, "
            f"the first is {unlabelled[0]}. Run `diffbev-engine prepare` again."
        )
    uncalibrated = [token for token in tokens if token not in calibration]
    if uncalibrated:
        raise DiffBEVError(
            f"{len(uncalibrated)} of {len(tokens)} images have no intrinsics in calib.json, "
            f"the first is {uncalibrated[0]}. Run `diffbev-engine prepare` again."
        )


def _empty_split_message(data_root: Path, split: str, cameras: str, images: int) -> str:
    if images and cameras != ALL:
        return (
            f"no {'CAM_FRONT' if cameras == 'front' else cameras} image among the {images} of "
            f"{data_root / 'img_dir' / split}. Set data.cameras='all', or prepare these cameras."
        )
    return (
        f"the {split} split of {data_root} is empty. Prepare it with "
        "`diffbev-engine prepare`; `--split scene-0001=train,scene-0002=val` assigns scenes by hand."
    )


def _require(folder: Path) -> None:
    if folder.is_dir():
        return
    missing = next(path for path in [*reversed(folder.parents), folder] if not path.is_dir())
    hint = did_you_mean(missing) or (
        " Check data_root in the configuration (its case too), or run `diffbev-engine prepare`."
    )
    raise DiffBEVError(f"no folder {folder}: {missing} does not exist.{hint}")
