import os

import numpy as np
import pytest
import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.frame_cache import frame_path
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import load_sample

SIZE = (48, 64)


@pytest.fixture
def record(tiny_root, tmp_path):
    """An image of its own, which a test may replace."""
    [first, *_] = read_records(tiny_root, "train", "all")
    image = tmp_path / "image.jpg"
    image.write_bytes(first.image.read_bytes())
    return type(first)(**{**vars(first), "image": image})


def _same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("image", "intrinsics"))


def test_an_image_from_the_cache_is_the_one_that_was_decoded(record, tmp_path, monkeypatch):
    plain = load_sample(record, SIZE)
    first = load_sample(record, SIZE, cache=tmp_path / "cache")
    monkeypatch.setattr("diffbev_engine.dataset.sample.decode_image", None)  # not called any more
    again = load_sample(record, SIZE, cache=tmp_path / "cache")
    assert _same(plain, first)
    assert _same(plain, again)
    assert frame_path(tmp_path / "cache", record.token, SIZE).is_file()


def test_each_size_has_images_of_its_own(record, tmp_path):
    for size in (SIZE, (24, 32), SIZE):
        assert _same(load_sample(record, size), load_sample(record, size, cache=tmp_path))


def test_a_replaced_image_is_decoded_again(record, tiny_root, tmp_path):
    before = load_sample(record, SIZE, cache=tmp_path / "cache")
    other = read_records(tiny_root, "train", "all")[1].image.read_bytes()
    record.image.write_bytes(other)
    os.utime(record.image, ns=(0, record.image.stat().st_mtime_ns + 1))
    for _ in range(2):
        after = load_sample(record, SIZE, cache=tmp_path / "cache")
        assert not torch.equal(before.image, after.image)
        assert _same(after, load_sample(record, SIZE))


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "empty", "a folder", "another format"])
def test_a_damaged_file_is_decoded_again(record, tmp_path, damage):
    plain = load_sample(record, SIZE, cache=tmp_path)
    path = frame_path(tmp_path, record.token, SIZE)
    content = bytearray(path.read_bytes())
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    elif damage == "flipped":
        content[-1000] ^= 1
    elif damage == "another format":
        content[0] ^= 1
    else:
        content = {"cut": content[:-1], "longer": content + b"x", "empty": b""}[damage]
    if path.is_file():
        path.write_bytes(content)
    assert _same(plain, load_sample(record, SIZE, cache=tmp_path))
    if damage != "a folder":
        assert path.stat().st_size > np.prod(SIZE) * 3


def test_a_cache_that_cannot_be_written_costs_only_the_gain(record, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert _same(load_sample(record, SIZE), load_sample(record, SIZE, cache=tmp_path / "file"))


def test_a_missing_image_is_named_though_it_is_in_the_cache(record, tmp_path):
    load_sample(record, SIZE, cache=tmp_path / "cache")
    record.image.unlink()
    with pytest.raises(DiffBEVError, match=r"cannot read .*image\.jpg"):
        load_sample(record, SIZE, cache=tmp_path / "cache")
