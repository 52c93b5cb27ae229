"""Small JSON files that record the state of something, decoded into dataclasses. Imports nothing heavy.

Whatever such a file holds is a value or a problem in words, never an exception: it may have
been written by another version, cut off by a full disk, or edited by hand.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from diffbev_engine.core.regular_file import read_bounded

_LARGEST = 16 << 20
"""Bytes; the largest of these files, a manifest, has some ten thousand."""

UnixTime = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds; a date that ``datetime`` can hold."""
Seconds = Annotated[float, Meta(ge=0, le=1e11)]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Share = Annotated[float, Meta(ge=0, le=1)]
FileName = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"\A[^/\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z")
]
"""A name in the directory of the file that holds it, never a path that leads out of it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Decoded(Generic[T]):
    """The content of a state file."""

    value: T | None = None
    problem: str = ""
    """Why there is a file but no value: "status.json is damaged: …"; empty for a missing file."""


def decode_file(path: Path, kind: type[T]) -> Decoded[T]:
    """Read ``path`` as ``kind``; keys that ``kind`` does not know are ignored."""
    try:
        content = read_bounded(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return Decoded()
    except OSError as error:
        return Decoded(problem=f"cannot read {path.name}: {error.strerror or error}")
    try:
        return Decoded(msgspec.convert(json.loads(content.decode("utf-8-sig")), kind))
    except UnicodeDecodeError:
        why = "it is not UTF-8 text"
    except json.JSONDecodeError as error:
        why = f"it is not JSON ({error.msg}, line {error.lineno})" if content.strip() else "it is empty"
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = str(error)
    return Decoded(problem=f"{path.name} is damaged: {why}")


def convert(data: object, kind: type[T]) -> T | None:
    """JSON values as ``kind``; ``None`` if they are anything else."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.MsgspecError, ValueError):
        return None
