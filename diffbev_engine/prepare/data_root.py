"""The files of a data root, and its three registers: ``index.jsonl``, ``calib.json``, ``prepare.json``.

- ``img_dir/{train,val}/<token>.jpg`` and ``ann_bev_dir/{train,val}/<token>.png``
- ``calib.json``: token to 3 x 3 intrinsics at the original resolution
- ``index.jsonl``: one line per image, exactly those that have an image and a label
- ``prepare.json``: the settings all labels share, and counts
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
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


class IndexEntry(msgspec.Struct, frozen=True, gc=False):
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

    def images(self, split: str) -> "Files":
        """Image files by token."""
        return _files_by_stem(self.image_dir(split), IMAGE_SUFFIXES)

    def depth_dir(self, split: str) -> Path:
        """``ann_bev_dir/<split>_depth``."""
        return self.root / "ann_bev_dir" / f"{split}_depth"

    def depths(self, split: str) -> "Files":
        """Depth files by token."""
        return _files_by_stem(self.depth_dir(split), (".npz",))

    def labels(self, split: str) -> "Files":
        """Label files by token."""
        return _files_by_stem(self.label_dir(split), (".png",))

    def read_index(self) -> list[IndexEntry]:
        """Entries of ``index.jsonl``; empty where there is no such file."""
        return list(self.iterate_index())

    def iterate_index(self) -> Iterator[IndexEntry]:
        """The same one by one; entries share what they have in common, such as the name of their scene."""
        content = _read(self.index_path)
        decoder, same = msgspec.json.Decoder(IndexEntry), _Shared()
        for number, line in enumerate(io.BytesIO(content or b""), start=1):
            try:
                entry = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise _damaged(self.index_path, f"line {number}: {error}") from error
            yield IndexEntry(
                token=entry.token,
                camera=same(entry.camera),
                scene=same(entry.scene),
                sample=same(entry.sample),
                timestamp=entry.timestamp,
                location=same(entry.location),
                split=same(entry.split),
                unlabelled=same(entry.unlabelled),
            )

    def read_calib(self) -> dict[str, list[list[float]]]:
        """Intrinsics by token; empty where there is no ``calib.json``.  Tokens share equal ones."""
        texts = _decode(self.calib_path, dict[str, msgspec.Raw]) or {}
        decoder, known = msgspec.json.Decoder(list[list[float]]), dict[bytes, list[list[float]]]()
        found = {}
        for token, text in texts.items():
            key = bytes(text)
            if key not in known:
                try:
                    known[key] = decoder.decode(key)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise _damaged(self.calib_path, f"{token}: {error}") from error
            found[token] = known[key]
        return found

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


class Files(Mapping[str, Path]):
    """Files of one folder by token, in order; a path is made when it is asked for."""

    def __init__(self, folder: Path, endings: dict[str, str]) -> None:
        self.folder = folder
        self.endings = endings
        """Of the file names, by token."""

    def __getitem__(self, token: str) -> Path:
        return self.folder / (token + self.endings[token])

    def __iter__(self) -> Iterator[str]:
        return iter(self.endings)

    def __len__(self) -> int:
        return len(self.endings)

    def __contains__(self, token: object) -> bool:
        return token in self.endings


class _Shared:
    """Gives equal values as one object."""

    def __init__(self) -> None:
        self._known: dict[object, object] = {}

    def __call__(self, value: T) -> T:
        return self._known.setdefault(value, value)  # type: ignore[return-value]


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


def _files_by_stem(folder: Path, suffixes: Iterable[str]) -> Files:
    if not folder.is_dir():
        return Files(folder, {})
    # Names, not paths: a trainval folder has 140,000 files, and paths sort 50 times slower.
    # Temporary files of `files.atomic_path` are hidden and end in .tmp.
    names = (os.path.splitext(name) for name in sorted(os.listdir(folder)))  # noqa: PTH122, PTH208
    endings = {stem: sys.intern(suffix) for stem, suffix in names if suffix.lower() in suffixes}
    return Files(folder, endings)


def _decode(path: Path, kind: type[T]) -> T | None:
    content = _read(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
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
