import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.runs.metrics import tail as metrics_tail
from diffbev_engine.runs.metrics.dialect import COLUMNS
from diffbev_engine.runs.metrics.file import MetricsWriter, read_metrics
from diffbev_engine.runs.metrics.integrity import MetricsError
from diffbev_engine.runs.metrics.tail import MetricsTail, Trouble

HEADER = "step,mode,loss,Lwce,mIoU,IoU/car"


def read_all(tail: MetricsTail) -> MetricsTail:
    while tail.advance():
        pass
    return tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def rows(first: int, last: int) -> str:
    return "".join(f"{step},train,{step / 10},1,,\n" for step in range(first, last + 1))


_cell = st.sampled_from(["", "0.5", "nan", "inf", "-inf", "1e308", "7", " 3"])
_row = st.builds(
    lambda step, mode, cells: ",".join([step, mode, *cells]),
    st.one_of(st.integers(0, 30).map(str), st.sampled_from(["-1", "1.5", "2.0", "x", "", "nan"])),
    st.sampled_from(["train", "train", "eval", "val", "", "odd"]),
    st.lists(_cell, min_size=4, max_size=4),
)
_good_row = st.builds(
    lambda step, mode, cells: ",".join([str(step), mode, *cells]),
    st.integers(0, 50),
    st.sampled_from(["train", "eval"]),
    st.lists(st.sampled_from(["", "0.5", "nan", "7"]), min_size=4, max_size=4),
)
_line = st.one_of(
    _good_row,
    _good_row,
    _row,
    st.sampled_from(
        [
            "",
            "a,b",
            "4,train,x,x,x,x",
            "4,eval,x,x,x,x",
            HEADER,
            "mode,step,IoU_car,loss",
            "1,train,2,3",
            "\0\0",
            '"4","train",1,1,,',
        ]
    ),
)


@given(
    st.lists(_line, max_size=25),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 200),
)
def test_piece_by_piece_it_reads_what_is_read_at_once(tmp_path_factory, lines, torn, end, chunk):
    path = tmp_path_factory.mktemp("run") / "metrics.csv"
    text = end.join([HEADER, *lines, ""])
    path.write_bytes((text[: -len(end) - 2] if torn and lines else text).encode())
    tail = MetricsTail(path, ("loss", "Lwce"))
    metrics_tail.CHUNK_BYTES, before = max(chunk, 64), metrics_tail.CHUNK_BYTES
    try:
        read_all(tail)
    finally:
        metrics_tail.CHUNK_BYTES = before
    try:
        expected = read_metrics(path)
    except MetricsError:
        assert len(tail.table) == 0
        return
    for column in ("loss", "Lwce", "mIoU", "IoU/car"):
        curve = tail.table.series(column)
        assert [*curve.steps] == [*expected.series(column).steps]
        assert [*curve.values] == [*expected.series(column).values]
        assert tail.table.first_not_finite(column) == expected.first_not_finite(column)
    assert tail.table.unreadable == expected.unreadable
    assert tail.table.superseded == expected.superseded
    assert tail.table.last_step == expected.last_step


def test_rows_are_read_as_they_are_appended(path):
    path.write_text(f"{HEADER}\n{rows(1, 3)}")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    version = tail.version
    assert not tail.advance()
    assert tail.version == version
    with path.open("a") as file:
        file.write(rows(4, 5) + "6,train,0.")
    read_all(tail)
    assert list(tail.table.series("loss").steps) == [1, 2, 3, 4, 5]
    assert tail.version != version
    with path.open("a") as file:
        file.write("6,1,,\n")
    read_all(tail)
    assert tail.table.series("loss").values[-1] == 0.6
    assert tail.notice is None


def test_a_table_read_again_for_another_column_is_another_version(path):
    path.write_text(f"{HEADER}\n{rows(1, 3)}")
    tail = read_all(MetricsTail(path, ("loss",)))
    with path.open("a") as file:
        file.write(rows(4, 5))
    read_all(tail)
    tail.want(["Lwce"])
    before = tail.version, tail.epoch, tail.table
    read_all(tail)
    assert tail.table is not before[2]
    assert tail.version != before[0]
    assert tail.epoch != before[1]


def test_an_append_reads_only_what_is_new(path, monkeypatch):
    path.write_text(f"{HEADER}\n{rows(1, 20_000)}")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read.append(args[1]) or pread(*args))
    with path.open("a") as file:
        file.write(rows(20_001, 20_002))
    read_all(tail)
    assert sum(read) < 1000
    assert tail.table.last_step == 20_002


def test_a_large_file_shows_its_newest_rows_first(path, monkeypatch):
    monkeypatch.setattr(metrics_tail, "PREVIEW_BYTES", 2000)
    monkeypatch.setattr(metrics_tail, "CHUNK_BYTES", 4000)
    path.write_text(f"{HEADER}\n{rows(1, 2000)}")
    tail = MetricsTail(path, ("loss", "Lwce"))
    assert tail.advance()
    assert not tail.complete
    assert tail.table.last_step == 2000
    assert 10 < len(tail.table) < 200
    epoch = tail.epoch
    read_all(tail)
    assert tail.complete
    assert tail.epoch != epoch
    assert list(tail.table.series("loss").steps) == list(range(1, 2001))


def test_a_resume_of_this_project_drops_rows_and_is_said(path):
    """The writer replaces the file by one without the rows past the checkpoint."""
    writer = MetricsWriter(path)
    for step in range(1, 11):
        writer.write({"step": step, "mode": "train", "loss": 1 / step})
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    writer.close()
    writer = MetricsWriter(path, keep_until_step=6)
    read_all(tail)
    assert tail.notice is not None
    assert (tail.notice.trouble, tail.notice.step, tail.notice.rows) == (Trouble.DROPPED, 6, 4)
    writer.write({"step": 7, "mode": "train", "loss": 0.1})
    writer.close()
    read_all(tail)
    assert list(tail.table.series("loss").steps) == [1, 2, 3, 4, 5, 6, 7]
    assert tail.resumes == [6]


def test_another_run_in_the_same_place_is_said(path, tmp_path):
    path.write_text(f"{HEADER}\n{rows(1, 9)}")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    other = tmp_path / "other"
    other.write_text(f"{HEADER}\n1,train,5,1,,\n")
    other.rename(path)
    read_all(tail)
    assert tail.notice is not None
    assert tail.notice.trouble is Trouble.REPLACED
    assert list(tail.table.series("loss").values) == [5]


def test_a_file_cut_short_in_place_is_said(path):
    path.write_text(f"{HEADER}\n{rows(1, 9)}")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    os.truncate(path, len(HEADER) + 1)
    read_all(tail)
    assert tail.notice is not None
    assert tail.notice.trouble is Trouble.TRUNCATED
    assert len(tail.table) == 0


def test_a_file_rewritten_in_place_is_said(path):
    path.write_text(f"{HEADER}\n{rows(1, 9)}")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    path.write_text(f"{HEADER}\n{rows(11, 40)}")
    read_all(tail)
    assert tail.notice is not None
    assert tail.notice.trouble is Trouble.REWRITTEN
    assert tail.table.series("loss").steps[0] == 11


def test_a_missing_file_is_said_and_found_later(path):
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    assert tail.notice is not None
    assert tail.notice.trouble is Trouble.MISSING
    path.write_text(f"{HEADER}\n{rows(1, 2)}")
    read_all(tail)
    assert tail.notice is None
    assert len(tail.table) == 2


def test_something_else_than_metrics_is_said(path):
    path.write_text("hello\nworld\n")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    assert tail.notice is not None
    assert tail.notice.trouble is Trouble.NO_HEADER
    assert tail.table.unreadable == 2


def test_a_column_wanted_later_is_read(path):
    path.write_text(",".join(COLUMNS) + "\n" + "1,train" + "," * 22 + "4,30,1000\n")
    tail = read_all(MetricsTail(path, ("loss", "Lwce")))
    assert not tail.table.series("gpu_mem_mb").values
    assert tail.table.has("gpu_mem_mb")
    assert not tail.table.has("lr")
    assert tail.table.newest_value("grad_norm") == 4
    assert tail.table.newest_value("lr") is None
    tail.want(["gpu_mem_mb", "mIoU"])
    read_all(tail)
    assert list(tail.table.series("gpu_mem_mb").values) == [1000]


def test_nan_is_no_blank(path):
    path.write_text(f"{HEADER}\n1,train,1,,,\n2,train,nan,2,,\n3,train,,nan,,\n4,eval,,,nan,0.1\n")
    table = read_all(MetricsTail(path, ("loss", "Lwce"))).table
    assert table.first_not_finite("loss") == 2
    assert table.first_not_finite("Lwce") == 3
    assert table.first_not_finite("mIoU") == 4
    assert not any(math.isnan(value) for value in table.series("loss").values)


def test_the_newest_training_row_is_kept_whole(path):
    path.write_text(f"{HEADER}\n1,train,1,,,\n2,train,2,8,,\n2,eval,,,0.5,\n")
    table = read_all(MetricsTail(path)).table
    assert table.newest_value("Lwce") == 8
    assert table.newest_value("mIoU") is None


def test_an_alarm_needs_the_newest_rows_only(path, monkeypatch):
    monkeypatch.setattr(metrics_tail, "PREVIEW_BYTES", 2000)
    monkeypatch.setattr(metrics_tail, "CHUNK_BYTES", 4000)
    path.write_text(f"{HEADER}\n{rows(1, 2000)}")
    tail = read_all(MetricsTail(path, newest_only=True))
    assert 10 < len(tail.table) < 200
    with path.open("a") as file:
        file.write(rows(2001, 2002))
    read_all(tail)
    assert tail.table.last_step == 2002
    assert tail.table.unreadable == 0
