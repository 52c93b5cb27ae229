"""``metrics.csv`` has one complete header, one row per step, and survives a crash and a resume."""

import csv
import logging
import os

import pytest

from diffbev_engine.core import files
from diffbev_engine.runs.metrics.dialect import COLUMNS
from diffbev_engine.runs.metrics.file import MetricsWriter, read_metrics

HEADER = ",".join(COLUMNS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def _write(path, *steps):
    writer = MetricsWriter(path)
    for step in steps:
        writer.write({"step": step, "mode": "train", "phase": "train", "loss": 1 / step})
    writer.close()
    return path.read_bytes()


def _steps(path):
    return [row["step"] for row in csv.DictReader(path.open())]


def _aside(path):
    return {one.name.split("_")[0]: one.read_bytes() for one in path.parent.glob("metrics.*_*.csv")}


def test_rows_are_flushed_one_by_one(path):
    writer = MetricsWriter(path)
    writer.write({"step": 1, "mode": "train", "phase": "train", "loss": 0.5, "Lwce": 0.5, "lr": 1e-4})
    writer.write({"step": 1, "mode": "eval", "phase": "eval", "mIoU": 0.25, "IoU/car": None})
    first, second = csv.DictReader(path.open())  # before close
    assert tuple(first) == COLUMNS
    assert (first["loss"], first["Ldepth"], first["mIoU"]) == ("0.5", "", "")
    assert (second["loss"], second["mIoU"], second["IoU/car"]) == ("", "0.25", "")
    assert path.read_text().startswith("step,mode,phase,loss,Lwce,Ldepth,Ldiff,lr,mIoU,IoU/drivable_area,")


def test_an_unknown_column_is_a_defect(path):
    with pytest.raises(ValueError, match="Lcwe"):
        MetricsWriter(path).write({"step": 1, "Lcwe": 0.1})


def test_resuming_drops_later_rows_and_a_torn_one(path, caplog):
    path.write_bytes(_write(path, 10, 20, 30) + b"40,tra")
    MetricsWriter(path, keep_until_step=20).write({"step": 30, "mode": "train"})
    assert _steps(path) == ["10", "20", "30"]
    assert not _aside(path)
    assert not caplog.records


def test_what_resuming_cannot_read_is_kept_under_another_name_and_said_once(path, caplog):
    whole = _write(path, 10, 20, 30)
    header = (HEADER + "\n").encode()
    lost_step = whole.replace(b"20,train", b"\xff\x00,train")
    for damaged, steps in (
        (lost_step, ["10", "30"]),
        (whole.replace(b"20,train,train", b"20,tra"), ["10", "30"]),
        (b"\0" * 4096, []),
        (os.urandom(64) + b"\n", []),
        (whole.replace(header, b"\xff\xfe garbage \n"), []),  # would be UTF-16: nothing can be made of it
        (whole.replace(header, b"gar\xffbage\n"), ["10", "20", "30"]),
        (b"epoch,loss\n1,2\n", []),
    ):
        caplog.clear()
        path.write_bytes(damaged)
        MetricsWriter(path, keep_until_step=30).close()
        assert _steps(path) == steps, damaged[:80]
        assert list(_aside(path).values()) == [damaged]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        (aside,) = path.parent.glob("metrics.*_*.csv")
        assert aside.name in record.getMessage()
        aside.unlink()


def test_an_emptied_file_is_said_to_hold_nothing(path, caplog):
    path.touch()
    MetricsWriter(path, keep_until_step=30).close()
    assert "no row of it can be read" in caplog.text
    assert not _aside(path)


def test_a_garbled_value_costs_neither_its_row_nor_the_resume(path, caplog):
    path.write_bytes(_write(path, 10, 20).replace(b",0.05,", b",0.0x5,"))
    MetricsWriter(path, keep_until_step=20).close()
    assert _steps(path) == ["10", "20"]
    assert list(read_metrics(path).series("loss").steps) == [10]
    assert not caplog.records


def test_columns_of_another_version_are_kept_by_name(path, caplog):
    older = "step,mode,phase,loss,EMA,mIoU\n10,train,train,0.123456789,5,\n20,eval,eval,,,0.25\n"
    older += "30,train,train,0.1,5,\n"
    path.write_text(older)
    writer = MetricsWriter(path, keep_until_step=20)
    writer.write({"step": 30, "mode": "train", "loss": 0.2})
    writer.close()
    metrics = read_metrics(path)
    assert path.read_text().startswith(HEADER)
    assert list(metrics.series("loss").values) == [0.123456789, 0.2]
    assert list(metrics.series("mIoU").values) == [0.25]
    assert _aside(path) == {"metrics.original": older.encode()}
    assert "converted" in caplog.text


def test_the_rewrite_reaches_the_disk_before_and_after_the_rename(path, monkeypatch):
    _write(path, 10, 20)
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda file: synced.append(os.fstat(file).st_mode))
    MetricsWriter(path, keep_until_step=10).close()
    assert [os.path.stat.S_ISDIR(mode) for mode in synced] == [False, True]


def test_a_file_that_the_system_refuses_is_one_clear_error(path):
    path.mkdir()
    with pytest.raises(Exception, match=r"cannot read .*metrics\.csv: Is a directory"):
        MetricsWriter(path, keep_until_step=10)
