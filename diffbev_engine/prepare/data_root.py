"""The files of a data root, and its three registers: ``index.jsonl``, ``calib.json``, ``prepare.json``.

- ``img_dir/{train,val}/<token>.jpg`` and ``ann_bev_dir/{train,val}/<token>.png``
- ``calib.json``: token to 3 x 3 intrinsics at the original resolution
- ``index.jsonl``: one line per image, exactly those that have an image and a label
- ``prepare.json``: the settings all labels share, and counts
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.file_kind import IMAGE_SUFFIXES
from diffbev_engine.core.files import write_bytes
from diffbev_engine.core.regular_file import read_bounded

SPLITS = ("train", "val")
_LARGEST = 1 << 30
"""Bytes of a register; those of trainval have 50 MB."""
T = TypeVar("T")


class IndexEntry(msgspec.Struct, frozen=True):
    """One line of ``index.jsonl``."""

    token: str
    camera: str
    scene: str
    sample: str
    timestamp: int
    location: str
    split: str
    unlabelled: tuple[str, ...] = ()
    """Classes that nobody annotated here, on the map or as boxes: ignore them, never negative."""


class PrepareRecord(msgspec.Struct, frozen=True):
    """``prepare.json``: what the labels of this root have in common."""

    version: str
    split: str
    cameras: tuple[str, ...]
    raster: str
    map_version: str = ""
    """Version of the map expansion; several joined by commas where locations differ."""
    complete: bool = False
    """True when the last run finished and left nothing out."""
    image_sizes: dict[str, tuple[int, int]] = {}
    """Original width and height by camera, as the tables say: those that the intrinsics belong to."""
    skipped: dict[str, int] = {}
    """Images per scene that the last run skipped because their files are missing (``--skip-missing``)."""
    images: dict[str, int] = {}
    """Images with a label, per part of the split."""
    scenes: dict[str, str] = {}
    """Part of every scene that was prepared."""


class DataRoot:
    """Paths and registers below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index_path = root / "index.jsonl"
        self.calib_path = root / "calib.json"
        self.record_path = root / "prepare.json"

    def image_dir(self, split: str) -> Path:
        """``img_dir/<split>``."""
        return self.root / "img_dir" / split

    def label_dir(self, split: str) -> Path:
        """``ann_bev_dir/<split>``."""
        return self.root / "ann_bev_dir" / split

    def image(self, split: str, token: str) -> Path:
        """Where ``prepare`` puts an image."""
        return self.image_dir(split) / f"{token}.jpg"

    def label(self, split: str, token: str) -> Path:
        """Where the label of an image is."""
        return self.label_dir(split) / f"{token}.png"

    def images(self, split: str) -> dict[str, Path]:
        """Image files by token."""
        return _files_by_stem(self.image_dir(split), IMAGE_SUFFIXES)

    def depth_dir(self, split: str) -> Path:
        """``ann_bev_dir/<split>_depth``."""
        return self.root / "ann_bev_dir" / f"{split}_depth"

    def depths(self, split: str) -> dict[str, Path]:
        """Depth files by token."""
        return _files_by_stem(self.depth_dir(split), (".npz",))

    def labels(self, split: str) -> dict[str, Path]:
        """Label files by token."""
        return _files_by_stem(self.label_dir(split), (".png",))

    def read_index(self) -> list[IndexEntry]:
        """Entries of ``index.jsonl``; empty where there is no such file."""
        content = _read(self.index_path)
        if content is None:
            return []
        decoder = msgspec.json.Decoder(IndexEntry)
        entries = []
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                entries.append(decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise _damaged(self.index_path, f"line {number}: {error}") from error
        return entries

    def read_calib(self) -> dict[str, list[list[float]]]:
        """Intrinsics by token; empty where there is no ``calib.json``."""
        return _decode(self.calib_path, dict[str, list[list[float]]]) or {}

    def read_record(self) -> PrepareRecord | None:
        """``prepare.json``, or None where there is none."""
        return _decode(self.record_path, PrepareRecord)

    def write_index(self, entries: list[IndexEntry]) -> None:
        """Replace ``index.jsonl``, sorted by scene, time and camera."""
        ordered = sorted(entries, key=lambda entry: (entry.scene, entry.timestamp, entry.camera))
        write_register(self.index_path, b"".join(msgspec.json.encode(entry) + b"\n" for entry in ordered))

    def write_calib(self, intrinsics: dict[str, list[list[float]]]) -> None:
        """Replace ``calib.json``."""
        write_register(self.calib_path, msgspec.json.encode(dict(sorted(intrinsics.items()))))

    def write_record(self, record: PrepareRecord) -> None:
        """Replace ``prepare.json``."""
        write_register(self.record_path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def write_register(path: Path, content: bytes) -> None:
    """Replace a file of the data root atomically.

    Raises:
        DiffBEVError: naming the file and the reason of the system, such as a full disk.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> DiffBEVError:
    """What to tell when the system refuses a write."""
    return DiffBEVError(
        f"cannot write {path}: {error.strerror or error}. No partial file was left. Free up space "
        f"or fix the directory, then run the same command again to continue."
    )


def as_rows(intrinsics: np.ndarray) -> list[list[float]]:
    """(3, 3) array as ``calib.json`` keeps it."""
    return [[float(value) for value in row] for row in intrinsics]


def _files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    # Names, not paths: a trainval folder has 140,000 files, and paths sort 50 times slower.
    # Temporary files of `files.atomic_path` are hidden and end in .tmp.
    names = (os.path.splitext(name) for name in sorted(os.listdir(folder)))  # noqa: PTH122, PTH208
    return {stem: folder / (stem + suffix) for stem, suffix in names if suffix.lower() in suffixes}


def _decode(path: Path, kind: type[T]) -> T | None:
    content = _read(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _read(path: Path) -> bytes | None:
    try:
        return read_bounded(path, _LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DiffBEVError(f"cannot read {path}: {error.strerror or error}") from error


def _damaged(path: Path, error: object) -> DiffBEVError:
    return DiffBEVError(f"{path} is damaged ({error}). Delete it and run `prepare` again: it is rebuilt.")
