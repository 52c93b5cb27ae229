import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.core.npz import open_npz, packed_npz

LARGEST = 8 << 20


def sparse(shape: tuple[int, ...] = (600, 800)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(shape) < 0.01, rng.uniform(1, 50, shape), 0).astype(np.float32)


def read(content: bytes, name: str, most: int = LARGEST) -> np.ndarray:
    with open_npz(io.BytesIO(content)) as arrays:
        return arrays.array(name, most)


@pytest.mark.parametrize("shape", [(600, 800), (3,), (0, 5), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, bool])
def test_numpy_and_zipfile_read_what_is_packed(shape: tuple[int, ...], dtype: type):
    arrays = {"depth": sparse(shape).astype(dtype), "mask": np.ones(shape, np.uint8)}
    content = packed_npz(arrays)
    with np.load(io.BytesIO(content)) as loaded:
        assert loaded.files == ["depth", "mask"]
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)
            np.testing.assert_array_equal(read(content, name), array)
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    assert packed_npz(arrays) == content


def test_an_array_in_columns_keeps_its_values():
    columns = np.asfortranarray(sparse((40, 30)))
    content = packed_npz({"a": columns})
    np.testing.assert_array_equal(np.load(io.BytesIO(content))["a"], columns)
    np.testing.assert_array_equal(read(content, "a"), columns)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save, tmp_path: Path):
    depth = sparse()
    save(tmp_path / "a.npz", depth=depth)
    content = (tmp_path / "a.npz").read_bytes()
    np.testing.assert_array_equal(read(content, "depth"), depth)
    with open_npz(io.BytesIO(content)) as arrays:
        assert arrays.header("depth") == ((600, 800), np.dtype(np.float32))


def test_every_damaged_byte_is_noticed_or_changes_nothing():
    array = sparse((20, 30))
    content = bytearray(packed_npz({"a": array}))
    noticed = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        try:
            np.testing.assert_array_equal(read(bytes(damaged), "a"), array)
        except ValueError:
            noticed += 1
    assert noticed > len(content) // 2  # dates, versions and the like matter to nobody


def test_an_archive_cut_off_is_refused():
    content = packed_npz({"a": sparse()})
    for length in (0, 10, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match=r"."):
            read(content[:length], "a")


def test_more_than_may_be_read_is_refused_before_it_is_unpacked():
    content = packed_npz({"zeros": np.zeros(50 << 20, np.uint8)})
    assert len(content) < 1 << 20
    with pytest.raises(ValueError, match="claims to hold 52428800 bytes"):
        read(content, "zeros")
