from diffbev_engine.runs.metrics_reader import read_metrics
from diffbev_tui.bench import measure_large_run, write_large_metrics


def test_a_large_run_is_measured():
    measured = measure_large_run(40_000)
    assert 0 < measured.first_chart_s <= measured.all_rows_s
    assert measured.append_ms < 10 * measured.small_append_ms + 1
    assert measured.memory_mb > 10


def test_the_rows_are_those_of_a_training(tmp_path):
    write_large_metrics(tmp_path / "metrics.csv", 500)
    metrics = read_metrics(tmp_path)
    assert (len(metrics.training), len(metrics.evaluation)) == (500, 50)
    assert not metrics.unreadable
