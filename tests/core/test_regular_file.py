"""Whatever a name leads to, opening it neither waits nor fills the memory."""

import os

import pytest

from diffbev_engine.core.regular_file import open_regular, read_bounded, read_end


def _fifo(path):
    os.mkfifo(path)


def _loop(path):
    path.symlink_to(path.name)


def _device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _loop, _device, os.mkdir, lambda _: None])
@pytest.mark.parametrize(
    "read", [open_regular, lambda path: read_bounded(path, 10), lambda path: read_end(path, 10)]
)
def test_what_is_no_file_is_refused_at_once(tmp_path, make, read):
    make(tmp_path / "file")
    with pytest.raises(OSError, match="file") as caught:
        read(tmp_path / "file")
    assert caught.value.strerror
    assert str(tmp_path / "file") in str(caught.value)


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(OSError, match="not a file name"):
        open_regular(tmp_path / "a\0b")


def test_a_large_file_is_refused_by_its_size_and_read_from_its_end(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(10 << 40)
        file.seek(0, 2)
        file.write(b"end")
    with pytest.raises(OSError, match=r"too large: 10\.0 TiB, at most 16 MiB"):
        read_bounded(path, 16 << 20)
    assert read_end(path, 4) == b"\0end"


def test_a_file_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
