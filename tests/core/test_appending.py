"""A file that is appended to outlives a disk that is full or away."""

import errno
import os
import resource
import signal

import pytest

from diffbev_engine.core import appending
from diffbev_engine.core.appending import Appender


@pytest.fixture
def full_at():
    """Limit the size of files as a full disk does: a write that crosses it is cut short, the next fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_rows_wait_for_a_full_disk_and_are_written_whole_and_in_order(tmp_path, full_at, caplog):
    file = Appender(tmp_path / "rows")
    file.add("first\n")
    full_at(10)
    file.add("second\n")
    file.add("third\n")
    assert (tmp_path / "rows").read_text() == "first\nseco"
    assert file.failing
    full_at(resource.RLIM_INFINITY)
    file.add("fourth\n")
    assert (tmp_path / "rows").read_text() == "first\nsecond\nthird\nfourth\n"
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    assert "File too large" in caplog.text
    file.close()


def test_a_descriptor_that_went_bad_is_opened_again(tmp_path, monkeypatch):
    file = Appender(tmp_path / "rows")

    def stale(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(appending.os, "write", stale)
        file.add("a\n")
    file.flush()
    assert (tmp_path / "rows").read_text() == "a\n"


def test_a_directory_that_was_moved_away_loses_what_cannot_wait_and_ends_nothing(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(appending, "MOST_WAITING", 4)
    (tmp_path / "run").mkdir()
    file = Appender(tmp_path / "run" / "rows")
    file._drop_descriptor()
    (tmp_path / "run").rename(tmp_path / "moved")
    file.add("abc\n")
    file.add("beyond\n")
    file.close()
    assert "the last 4 bytes could not be written" in caplog.text
