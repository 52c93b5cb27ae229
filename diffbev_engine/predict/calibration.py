"""Calibration files of other programs: OpenCV, ROS, COLMAP, and the ``calib.json`` of a data root."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from diffbev_engine.core.errors import DiffBEVError, UsageError, first_line
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.dataset.records import RecordMaker
from diffbev_engine.predict.camera import Camera
from diffbev_engine.prepare.data_root import DataRoot

CameraOf = Callable[[str], Camera]
"""The camera of an image by its name without suffix; raises ``DiffBEVError`` for one that it lacks."""

_LARGEST = 64 << 10
_LONGEST_REASON = 200
_COLMAP_PARAMETERS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
}
_ONE_FOCAL_LENGTH = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_COLMAP_CENTRE = 0.5  # of the first pixel; 0 in OpenCV
# Of OpenCV's own programs in their versions, of ROS 1 and 2, and of common scripts; without case and "_".
_MATRIX = ("cameramatrix", "k", "intrinsicmatrix", "mtx")
_DISTORTION = (
    "distortioncoefficients",
    "distcoeffs",
    "distortioncoeffs",
    "distcoeff",
    "distortion",
    "dist",
    "d",
)
_ROS_MODELS = ("plumb_bob", "rational_polynomial", "equidistant")


def read_calibration(path: Path, camera_id: str | None = None) -> CameraOf:
    """Read a calibration, in whichever of the known forms it is.

    Args:
        path: OpenCV's YAML, a ``camera_info`` of ROS, COLMAP's ``cameras.txt``, or the ``calib.json`` of a
            prepared data root, where images are called by their tokens.
        camera_id: which of several cameras of COLMAP.

    Raises:
        DiffBEVError: a missing, damaged or unknown file, or a lens model that is not supported.
        UsageError: several cameras, or none of that name.
    """
    if path.name == "calib.json":
        return _Prepared(path)
    try:
        text = _text(read_bounded(path, _LARGEST))
        rows = _colmap_rows(text)
        camera = _of_colmap(rows, camera_id) if rows else _of_yaml(_mapping(text))
    except OSError as error:
        raise DiffBEVError(f"cannot read the calibration {path}: {error.strerror or error}.") from error
    except ValueError as error:
        reason = plain(str(error), longest=_LONGEST_REASON)
        raise DiffBEVError(f"the calibration {path} cannot be used: {reason}.") from error
    return lambda _name: camera


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is no text (of COLMAP, give cameras.txt, not cameras.bin)") from error
    if text.lstrip().startswith("<"):
        raise ValueError("it is XML; OpenCV writes YAML to a file whose name ends in .yaml")
    return text


class _Prepared:
    """The cameras of a data root that ``prepare`` wrote."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DiffBEVError(f"no calibration {path}. Name an existing file.")
        root = DataRoot(path.parent)
        self._path = path
        self._matrices = root.read_calib()
        index = {entry.token: entry for entry in root.iterate_index()}
        self._records = RecordMaker(root, "val", self._matrices, index)

    def __call__(self, name: str) -> Camera:
        if name not in self._matrices:
            raise DiffBEVError(
                f"{self._path} holds no intrinsics for {plain(name)}: it knows the images of its own data "
                "root, by their tokens. For others give --fx --fy --cx --cy, or another calibration."
            )
        return Camera(self._records.pinhole(name), self._records.size(name))


def _colmap_rows(text: str) -> list[list[str]]:
    """The lines of a ``cameras.txt``, or nothing if it is no such file."""
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    told = rows and all(len(row) > 4 and row[0].isdecimal() and row[1].isupper() for row in rows)
    return rows if told else []


def _of_colmap(rows: Sequence[Sequence[str]], camera_id: str | None) -> Camera:
    known = {row[0]: row for row in rows}
    if camera_id is None and len(known) > 1:
        raise UsageError(
            f"the calibration holds {len(known)} cameras. Choose one with --camera-id: "
            f"{', '.join(list(known)[:10])}."
        )
    if camera_id is not None and camera_id not in known:
        raise UsageError(f"--camera-id {camera_id}: there is {', '.join(list(known)[:10])}.")
    _, model, width, height, *words = known[camera_id] if camera_id else rows[0]
    if _COLMAP_PARAMETERS.get(model) != len(words):
        supported = ", ".join(_COLMAP_PARAMETERS)
        raise ValueError(f"{model} with {len(words)} parameters is not supported; these are: {supported}")
    values = [float(word) for word in words]
    if model in _ONE_FOCAL_LENGTH:
        values = [values[0], *values]
    fx, fy, cx, cy, *distortion = values
    if 0 < len(distortion) < 4:
        distortion += [0.0] * (4 - len(distortion))
    matrix = np.array([[fx, 0, cx - _COLMAP_CENTRE], [0, fy, cy - _COLMAP_CENTRE], [0, 0, 1]])
    return Camera(matrix, (int(width), int(height)), tuple(distortion), model == "OPENCV_FISHEYE")


class _Loader(yaml.SafeLoader):
    """Plain values only; a part that is referred to again could be written out without end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("a part of it refers to another part")
        return super().compose_node(parent, index)


def _construct_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _construct_matrix)


def _mapping(text: str) -> Mapping[str, Any]:
    """The first mapping of a YAML file; OpenCV begins its files with a directive that YAML does not know."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].startswith("%YAML:"):
        lines[0] = "\n"
    try:
        for document in yaml.load_all("".join(lines), _Loader):
            if isinstance(document, dict):
                return document
    except (yaml.YAMLError, RecursionError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(f"it is neither YAML nor a cameras.txt of COLMAP ({first_line(error)})") from error
    raise ValueError("it is neither YAML nor a cameras.txt of COLMAP")


def _of_yaml(content: Mapping[str, Any]) -> Camera:
    known = {_plainly(name): value for name, value in content.items() if value is not None}
    matrix = _first(known, _MATRIX)
    if matrix is None:
        raise ValueError("it has no camera_matrix (OpenCV) and no K (ROS)")
    numbers = _numbers(matrix, "camera_matrix")
    if len(numbers) != 9:
        raise ValueError(f"its camera matrix has {len(numbers)} numbers, not 9")
    model = known.get("distortionmodel") or "plumb_bob"
    if model not in _ROS_MODELS:
        raise ValueError(f"distortion_model {model} is not supported; these are: {', '.join(_ROS_MODELS)}")
    distortion = _numbers(_first(known, _DISTORTION) or [], "distortion_coefficients")
    not_read = [str(name) for name in content if _names_distortion(name)]
    if not_read and not distortion:
        raise ValueError(f"its {not_read[0]} is unknown; call it distortion_coefficients, in OpenCV's order")
    width, height = _first(known, ("imagewidth", "width")), _first(known, ("imageheight", "height"))
    if not isinstance(width, int) or not isinstance(height, int):
        raise ValueError("it has no image_width and image_height, or no whole numbers there")
    fisheye = model == "equidistant" or bool(known.get("fisheyemodel"))
    return Camera(np.array(numbers).reshape(3, 3), (width, height), tuple(distortion), fisheye)


def _first(content: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((content[name] for name in names if name in content), None)


def _plainly(name: object) -> str:
    return str(name).lower().replace("_", "")


def _names_distortion(written: object) -> bool:
    """Whether something of this name may be what a lens does to the image, which must not be left out."""
    name = _plainly(written)
    known = name in _DISTORTION or name == "distortionmodel"
    return not known and name.startswith(("distor", "distcoef", "lensdist", "radialdist", "tangentialdist"))


def _numbers(value: Any, what: str) -> list[float]:
    """The numbers of a list, of a list of rows, or of what OpenCV and ROS write as ``data``."""
    data = value.get("data") if isinstance(value, dict) else value
    rows = data if isinstance(data, list) else [data]
    flat: list[Any] = [number for row in rows for number in (row if isinstance(row, list) else [row])]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in flat):
        raise ValueError(f"its {what} holds what is no number")
    try:
        return [float(number) for number in flat]
    except OverflowError as error:
        raise ValueError(f"its {what} holds a number that is too large") from error
