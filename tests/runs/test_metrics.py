"""``metrics.csv`` has one complete header, one row a step, and survives a crash."""

import csv

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.metrics import COLUMNS, MetricsWriter


def test_rows_are_flushed_one_by_one(tmp_path):
    path = tmp_path / "metrics.csv"
    writer = MetricsWriter(path)
    writer.write({"step": 1, "mode": "train", "phase": "train", "loss": 0.5, "Lwce": 0.5, "lr": 1e-4})
    writer.write({"step": 1, "mode": "eval", "phase": "eval", "mIoU": 0.25, "IoU/car": None})
    first, second = csv.DictReader(path.open())  # before close
    assert tuple(first) == COLUMNS
    assert (first["loss"], first["Ldepth"], first["mIoU"]) == ("0.5", "", "")
    assert (second["loss"], second["mIoU"], second["IoU/car"]) == ("", "0.25", "")
    assert path.read_text().startswith("step,mode,phase,loss,Lwce,Ldepth,Ldiff,lr,mIoU,IoU/drivable_area,")


def test_resuming_drops_later_rows_and_a_torn_one(tmp_path):
    path = tmp_path / "metrics.csv"
    writer = MetricsWriter(path)
    for step in (10, 20, 30):
        writer.write({"step": step, "mode": "train"})
    writer.close()
    path.write_text(path.read_text() + "40,tra")

    MetricsWriter(path, keep_until_step=20).write({"step": 30, "mode": "train"})
    assert [row["step"] for row in csv.DictReader(path.open())] == ["10", "20", "30"]


def test_resuming_names_a_row_that_lost_its_step(tmp_path):
    path = tmp_path / "metrics.csv"
    writer = MetricsWriter(path)
    for step in (10, 20):
        writer.write({"step": step, "mode": "train"})
    writer.close()
    damaged = path.read_bytes().replace(b"20,train", b"\xff\x00,train")
    path.write_bytes(damaged)
    with pytest.raises(DiffBEVError, match=r"metrics\.csv is damaged"):
        MetricsWriter(path, keep_until_step=20)
    assert path.read_bytes() == damaged


def test_another_header_is_not_overwritten(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("mode,phase,step\ntrain,train,1\n")
    with pytest.raises(DiffBEVError, match="its header differs"):
        MetricsWriter(path, keep_until_step=5)
    assert path.read_text().startswith("mode,phase,step")


def test_an_unknown_column_is_a_defect(tmp_path):
    with pytest.raises(ValueError, match="Lcwe"):
        MetricsWriter(tmp_path / "metrics.csv").write({"step": 1, "Lcwe": 0.1})
