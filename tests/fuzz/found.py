"""Cases that went wrong once, kept: ``found/<reader>/<digest>``; each must stay right."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.bombs import PLACES

FOLDER = Path(__file__).parent / "found"


def keep(reader: str, key: str, case: bytes) -> None:
    """Keep a case under the name of its failure."""
    if case.decode("latin-1") in PLACES or len(case) >= 8192:
        return  # made anew for every run
    folder = FOLDER / _file_name(reader)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(key.encode()).hexdigest()[:8]).write_bytes(case)


def kept(reader: str) -> Iterator[Path]:
    """The cases of a reader."""
    yield from sorted((FOLDER / _file_name(reader)).glob("*"))


def _file_name(reader: str) -> str:
    return reader.replace(" ", "_")
