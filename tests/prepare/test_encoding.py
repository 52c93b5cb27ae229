from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.encoding import decode_label, encode_label, read_label, write_label

_SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


def _random_label(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 16, LABEL_GRID.shape, dtype=np.uint16)


@given(_SHAPES.flatmap(lambda shape: hnp.arrays(bool, (NUM_CLASSES + 2, *shape))))
def test_planes_survive_encoding(planes: np.ndarray) -> None:
    classes, ignore, outside = planes[:NUM_CLASSES], planes[-2], planes[-1]
    decoded = decode_label(encode_label(classes, ignore, outside))
    assert np.array_equal(decoded.classes, classes)
    assert np.array_equal(decoded.valid, ~ignore)
    assert np.array_equal(decoded.valid_fov, ~outside)


@given(bit=st.integers(0, 15))
def test_each_plane_owns_one_bit(bit: int) -> None:
    planes = np.zeros((16, 2, 3), bool)
    planes[bit, 1, 2] = True
    label = encode_label(planes[:14], planes[14], planes[15])
    assert label[1, 2] == 1 << bit
    assert np.count_nonzero(label) == 1


def test_pillow_and_opencv_read_what_was_written(tmp_path: Path) -> None:
    label = _random_label()
    path = tmp_path / "label.png"
    write_label(path, label)
    with Image.open(path) as image:
        assert image.mode.startswith("I;16")
        assert np.array_equal(np.asarray(image), label)
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), label)
    assert np.array_equal(read_label(path), label)


def test_a_label_resaved_as_8_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resaved.png"
    cv2.imwrite(str(path), (_random_label() >> 8).astype(np.uint8))
    with pytest.raises(DiffBEVError, match=r"resaved\.png is 8-bit; labels must be 16-bit"):
        read_label(path)


def test_a_label_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    write_label(path, np.zeros((98, 100), np.uint16))
    with pytest.raises(DiffBEVError, match=r"small\.png has shape 98×100 instead of 196×200"):
        read_label(path)
    assert read_label(path, (98, 100)).shape == (98, 100)


@pytest.mark.parametrize("kept", [0, 1, 60, 0.5, -1, -4, -13])
def test_a_truncated_label_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "torn.png"
    write_label(path, _random_label())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(DiffBEVError, match=r"torn\.png is damaged"):
        read_label(path)


def test_a_flipped_bit_never_changes_a_label_silently(tmp_path: Path) -> None:
    label = np.zeros(LABEL_GRID.shape, np.uint16)
    label[:, :100] = 0xC001
    path = tmp_path / "rotten.png"
    write_label(path, label)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(40, len(content) - 12, size=20):
        rotten = bytearray(content)
        rotten[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(rotten))
        with pytest.raises(DiffBEVError, match=r"rotten\.png is damaged"):
            read_label(path)


def test_a_missing_label_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(DiffBEVError, match=r"absent\.png: No such file"):
        read_label(tmp_path / "absent.png")


def test_other_types_are_not_cast() -> None:
    with pytest.raises(ValueError, match="uint16"):
        decode_label(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="uint16"):
        write_label(Path("never.png"), np.zeros((4, 4), np.int32))
