"""The nuScenes JSON tables as typed rows, read in pieces.

``sample_data.json`` of v1.0-trainval has 2.6 million rows in 1.35 GB, and nearly all of
them are sweeps nobody asks for.  Tables are therefore decoded some megabytes at a time
and only the fields declared here become Python objects.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import foreign_content
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.regular_file import open_regular

_PIECE_BYTES = 4 << 20
_LONGEST_ROW_BYTES = 32 << 20
_BETWEEN_ROWS = re.compile(rb"}\s*(,)\s*$")
_BETWEEN_ROWS_BYTES = 256


_Timestamp = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Pixels = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


# gc=False: rows hold no cycles, and tracking millions of them doubles the time to decode.
class Row(msgspec.Struct, gc=False):
    """What all rows have."""

    token: str


class SceneRow(Row, gc=False):  # noqa: D101
    name: str
    log_token: str


class LogRow(Row, gc=False):  # noqa: D101
    location: str


class SampleRow(Row, gc=False):  # noqa: D101
    timestamp: _Timestamp
    scene_token: str


class SensorRow(Row, gc=False):  # noqa: D101
    channel: str
    modality: str


class CalibratedSensorRow(Row, gc=False):
    """Pose of a sensor in the ego frame; intrinsics are empty unless it is a camera."""

    sensor_token: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    camera_intrinsic: list[list[float]]


class EgoPoseRow(Row, gc=False):
    """Pose of the ego frame in the world."""

    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]


class SampleDataRow(Row, gc=False):
    """One file of one sensor."""

    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    timestamp: _Timestamp
    is_key_frame: bool
    width: _Pixels
    height: _Pixels
    filename: str


class CategoryRow(Row, gc=False):  # noqa: D101
    name: str


class InstanceRow(Row, gc=False):  # noqa: D101
    category_token: str


class SampleAnnotationRow(Row, gc=False):
    """One box in the world; size is width, length, height."""

    sample_token: str
    instance_token: str
    translation: tuple[float, float, float]
    size: tuple[float, float, float]
    rotation: tuple[float, float, float, float]


ROW_TYPES: dict[str, type[Row]] = {
    "scene": SceneRow,
    "log": LogRow,
    "sample": SampleRow,
    "sensor": SensorRow,
    "calibrated_sensor": CalibratedSensorRow,
    "ego_pose": EgoPoseRow,
    "sample_data": SampleDataRow,
    "category": CategoryRow,
    "instance": InstanceRow,
    "sample_annotation": SampleAnnotationRow,
}
"""The tables that are read; file names without ``.json``."""

R = TypeVar("R", bound=Row)


def read_rows(folder: Path, row_type: type[R]) -> list[R]:
    """All rows of the table of ``row_type``; meant for the small ones."""
    return [row for piece in read_pieces(folder, row_type) for row in piece]


def read_pieces(folder: Path, row_type: type[R]) -> Iterator[list[R]]:
    """Rows of the table of ``row_type`` in file order, a list for every few megabytes.

    Raises:
        DiffBEVError: naming the file, if it is missing, unreadable or not such a table.
    """
    path = folder / f"{_table_of(row_type)}.json"
    decoder = msgspec.json.Decoder(list[row_type])  # type: ignore[valid-type]
    rows_before = 0
    try:
        for rows in _decode_pieces(path, decoder):
            yield rows
            rows_before += len(rows)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if foreign := foreign_content(path):
            raise DiffBEVError(f"nuScenes table {path} {foreign}.") from error
        where = f", counting rows from number {rows_before}" if rows_before else ""
        raise DiffBEVError(
            f"damaged nuScenes table {path}: {error}{where}. Extract the metadata archive again."
        ) from error
    except OSError as error:
        raise DiffBEVError(f"cannot read nuScenes table {path}: {error.strerror or error}") from error


def _table_of(row_type: type[Row]) -> str:
    return next(table for table, known in ROW_TYPES.items() if known is row_type)


def _decode_pieces(path: Path, decoder: msgspec.json.Decoder[list[R]]) -> Iterator[list[R]]:
    pending = b""  # not decoded yet; begins with the "[" of the array
    read_next = _PIECE_BYTES
    with open_regular(path) as file:
        while piece := file.read(read_next):
            pending += piece
            # Without a usable cut, double the text: a damaged table is then read in a few steps.
            read_next = len(pending)
            if read_next > _LONGEST_ROW_BYTES:
                raise msgspec.DecodeError(f"no row ends within {byte_size(_LONGEST_ROW_BYTES)}")
            comma = _comma_before_last_row(pending)
            if comma is None:
                continue
            try:
                rows = decoder.decode(pending[:comma] + b"]")
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError:
                continue  # the comma may stand inside a string: more text decides
            yield rows
            pending = b"[" + pending[comma + 1 :]
            read_next = _PIECE_BYTES
    yield decoder.decode(pending)


def _comma_before_last_row(text: bytes) -> int | None:
    """Where to cut an array of objects so that only whole objects come before the cut."""
    brace = len(text)
    while (brace := text.rfind(b"{", 0, brace)) > 0:
        start = max(0, brace - _BETWEEN_ROWS_BYTES)
        if between := _BETWEEN_ROWS.search(text[start:brace]):
            return start + between.start(1)
    return None
