"""Files that only their owner can read, and what killed writers left."""

import os

import pytest

from diffbev_engine.core import files
from diffbev_engine.core.files import atomic_path, make_writable_dir, open_private, write_text


@pytest.fixture
def careless_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
def test_private_files_are_private_from_their_first_byte(tmp_path):
    path = tmp_path / "a"
    path.write_text("readable by all, before")
    with atomic_path(path, private=True) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
        temporary.write_text("secret")
    assert path.stat().st_mode & 0o777 == 0o600
    with open_private(tmp_path / "log", append=True) as log:
        log.write(b"x")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    write_text(tmp_path / "b", "for all")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o666


def test_the_next_writer_removes_what_killed_ones_left(tmp_path, monkeypatch):
    left = [tmp_path / ".a.png.0123abcd.tmp", tmp_path / ".index.jsonl.89abcdef.tmp"]
    left[0].write_text("half")
    left[1].symlink_to("nowhere")
    others = [tmp_path / name for name in (".a.tmp", "a.0123abcd.tmp", ".hidden", ".x.0123abcz.tmp")]
    for path in others:
        path.write_text("not ours")
    make_writable_dir(tmp_path, "folder")
    assert all(os.path.lexists(path) for path in left), "a writer may be at work"
    monkeypatch.setattr(files, "_ABANDONED_S", -1.0)
    make_writable_dir(tmp_path, "folder")
    assert not any(os.path.lexists(path) for path in left)
    assert all(path.exists() for path in others)
