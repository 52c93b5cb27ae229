import time

from diffbev_engine.runs.metrics.file import read_metrics
from tests.benchmarks.tui.rows import being_written, write_metrics


def test_the_rows_are_those_of_a_training(tmp_path):
    write_metrics(tmp_path / "metrics.csv", 500, step=50)
    metrics = read_metrics(tmp_path)
    assert (len(metrics.training), len(metrics.evaluation)) == (500, 50)
    assert metrics.last_step == 25_000
    assert not metrics.unreadable


def test_rows_are_appended_one_by_one_until_the_block_ends(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, 20)
    with being_written(path, 200.0):
        end = time.monotonic() + 60
        while read_metrics(tmp_path).last_step < 30 and time.monotonic() < end:
            time.sleep(0.05)
    size = path.stat().st_size
    metrics = read_metrics(tmp_path)
    assert metrics.last_step >= 30
    assert len(metrics.training) == metrics.last_step
    assert not metrics.unreadable
    time.sleep(0.2)
    assert path.stat().st_size == size
