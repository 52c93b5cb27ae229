"""The list of samples of a data root: which files belong to which token."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diffbev_engine.classes import CLASSES
from diffbev_engine.errors import DiffBEVError

Split = Literal["train", "val"]
_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")


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
    """(14,) bool; False where the map of this place does not annotate the class."""


def read_records(data_root: Path, split: Split, cameras: Literal["front", "all"]) -> list[SampleRecord]:
    """List the samples of a split, sorted by token.

    Raises:
        DiffBEVError: a missing data root or folder, an empty split, an image without label
            or intrinsics; the message says which command writes what is missing.
    """
    image_dir = _require(data_root / "img_dir" / split)
    label_dir = _require(data_root / "ann_bev_dir" / split)
    images = {path.stem: path for path in image_dir.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES}
    index = _read_index(data_root, split, cameras)
    tokens = sorted(images if index is None else images.keys() & index.keys())
    if not tokens:
        raise DiffBEVError(_empty_split_message(data_root, split, cameras, len(images)))
    calibration = _read_json(data_root / "calib.json")
    _check_complete(tokens, calibration, label_dir)
    return [
        _record(
            token,
            images[token],
            label_dir / f"{token}.png",
            data_root / "ann_bev_dir" / f"{split}_depth" / f"{token}.npz",
            calibration[token],
            index[token] if index is not None else {},
        )
        for token in tokens
    ]


def read_provenance(data_root: Path) -> dict[str, Any]:
    """How the data root was made (``prepare.json``); empty for one made by other tools."""
    path = data_root / "prepare.json"
    return _read_json(path) if path.exists() else {}


def _record(
    token: str, image: Path, label: Path, depth: Path, intrinsics: Any, row: dict[str, Any]
) -> SampleRecord:
    matrix = _pinhole(token, intrinsics)
    known = np.array([name not in row.get("unlabelled", ()) for name in CLASSES])
    return SampleRecord(token, image, label, depth, matrix, row.get("camera"), row.get("scene"), known)


def _pinhole(token: str, intrinsics: Any) -> np.ndarray:
    """The (3, 3) matrix; the lift relies on a pinhole camera without skew."""
    matrix = np.asarray(intrinsics, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise DiffBEVError(f"calib.json: the intrinsics of {token} are not a finite 3x3 matrix.")
    if (
        matrix[0, 1]
        or matrix[1, 0]
        or matrix[2].tolist() != [0.0, 0.0, 1.0]
        or matrix[[0, 1], [0, 1]].min() <= 0
    ):
        raise DiffBEVError(
            f"calib.json: the intrinsics of {token} are not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]. "
            "Run `diffbev-engine prepare` again."
        )
    return matrix


def _read_index(data_root: Path, split: Split, cameras: str) -> dict[str, dict[str, Any]] | None:
    path = data_root / "index.jsonl"
    if not path.exists():
        if cameras == "front":
            raise DiffBEVError(
                f"{path} is missing, so front-camera images cannot be told from the others. "
                "Write it with `diffbev-engine prepare`, or set data.cameras='all'."
            )
        return None
    rows = (row for row in _index_rows(path) if row["split"] == split)
    return {row["token"]: row for row in rows if cameras == "all" or row["camera"] == "CAM_FRONT"}


def _index_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                _ = row["token"], row["split"], row["camera"]
            except (ValueError, KeyError, TypeError) as error:
                raise DiffBEVError(
                    f"{path}, line {number} is damaged ({error}). Run `diffbev-engine prepare` again."
                ) from error
            yield row


def _check_complete(tokens: list[str], calibration: dict[str, Any], label_dir: Path) -> None:
    labels = {path.stem for path in label_dir.iterdir() if path.suffix == ".png"}
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
    if images and cameras == "front":
        return (
            f"no CAM_FRONT image among the {images} of {data_root / 'img_dir' / split}. "
            "Set data.cameras='all', or prepare the front camera."
        )
    return (
        f"the {split} split of {data_root} is empty. Prepare it with "
        "`diffbev-engine prepare`; `--split scene-0001=train,scene-0002=val` assigns scenes by hand."
    )


def _require(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    missing = next(path for path in [*reversed(folder.parents), folder] if not path.is_dir())
    hint = "Check data_root in the configuration (its case too), or run `diffbev-engine prepare`."
    twin = _same_name_other_case(missing)
    if twin is not None:
        hint = f"Did you mean {twin}?"
    raise DiffBEVError(f"no folder {folder}: {missing} does not exist. {hint}")


def _same_name_other_case(path: Path) -> Path | None:
    if not path.parent.is_dir():
        return None
    twins = (other for other in path.parent.iterdir() if other.name.lower() == path.name.lower())
    return next(twins, None)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DiffBEVError(f"{path} is missing. `diffbev-engine prepare` writes it.") from error
    except ValueError as error:
        raise DiffBEVError(f"{path} is not JSON ({error}). Run `diffbev-engine prepare` again.") from error
    if not isinstance(content, dict):
        raise DiffBEVError(f"{path} must hold one JSON object. Run `diffbev-engine prepare` again.")
    return content
