"""Files of torch.save are let through; what would keep its reader busy without end is not."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from diffbev_engine.core.pickled import DAMAGED, problem_of_pickles

_NAME = b"\x80\x02c" + b"a" * 1_000_000 + b"\nb\n."


def _shared(levels):
    value = (1,)
    for _ in range(levels):
        value = (value, value)
    return value


def _archive(path: Path, values: bytes) -> Path:
    torch.save({"a": torch.ones(2)}, path.with_name("sound.pth"))
    with zipfile.ZipFile(path.with_name("sound.pth")) as sound, zipfile.ZipFile(path, "w") as made:
        for member in sound.infolist():
            changed = member.filename.endswith("/data.pkl")
            made.writestr(member.filename, values if changed else sound.read(member))
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_wrote_is_let_through(zipped, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99))
    network(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    content = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "shared": [_shared(5)] * 9}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert problem_of_pickles(tmp_path / "a.pth") == ""


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (_NAME, "names a class or function of 1,000,002 characters"),
        (pickle.dumps({"settings": _shared(60)}, 2), "refer to others without end"),
        (pickle.dumps(_shared(60), 2)[:-1] + b")R.", "calls what is no function"),
        (b"\x80\x02N", DAMAGED),
        (b"\x80\x02(h\x00.", DAMAGED),
        (b"N" * (5 << 20) + b".", "next to its tensors, of which at most 4"),
    ],
    ids=["long name", "shared", "called", "cut", "not stored", "large"],
)
def test_what_would_keep_its_reader_busy_is_named(values, problem, tmp_path):
    assert problem in problem_of_pickles(_archive(tmp_path / "a.pth", values))


def test_a_file_without_an_archive_is_looked_through_too(tmp_path):
    (tmp_path / "a.pth").write_bytes(_NAME)
    assert problem_of_pickles(tmp_path / "a.pth").startswith("names a class")


def test_a_value_that_holds_itself_is_let_through(tmp_path):
    ring = []
    ring.append(ring)
    assert problem_of_pickles(_archive(tmp_path / "a.pth", pickle.dumps(ring, 2))) == ""
