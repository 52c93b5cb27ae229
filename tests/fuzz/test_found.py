"""Cases that went wrong once, and names that lead to no file, for every reader that needs no PyTorch."""

import contextlib
from pathlib import Path

import pytest

from tests.fuzz.bombs import PLACES
from tests.fuzz.found import kept
from tests.fuzz.mutate import Mutator
from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS

LIGHT = [one for one in READERS if not one.torch]


@pytest.mark.parametrize("reader", LIGHT, ids=lambda one: one.name)
def test_what_was_found_stays_right(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if reader.prepare:
        reader.prepare(tmp_path)
    seeds = reader.seeds()
    path.write_bytes(seeds[0])
    reader.read(path)
    for case in kept(reader.name):
        path.write_bytes(case.read_bytes())
        with contextlib.suppress(*reader.refusals):
            reader.read(path)
    for make in PLACES.values():
        path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
        make(path)
        with contextlib.suppress(*reader.refusals):
            reader.read(path)


def test_cases_are_the_same_for_the_same_seed() -> None:
    one, other = (Mutator([b'{"a": [1, 2]}', b"{}"], "json", 7) for _ in range(2))
    assert [one() for _ in range(50)] == [other() for _ in range(50)]
