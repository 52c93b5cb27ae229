"""What watching costs a training that is going on."""

import math
import subprocess
import sys

import pytest

from tests.benchmarks.tui.rows import being_written
from tests.benchmarks.tui.training import measure
from tests.benchmarks.tui.workspace import add_run, bench_workspace


@pytest.mark.slow
def test_the_speed_of_a_run_is_that_of_its_rows():
    with bench_workspace() as bench:
        run = add_run(bench, "run", rows=200, running=True)
        with being_written(run.metrics, 20.0):
            figures = {one.name: one for one in measure(run.path, quick=True)}
    assert 0 < figures["watched_speed"].value < 100 * 50  # at most 100 rows a second, a row every 50 steps
    assert math.isfinite(figures["training"].value)


def test_a_run_outside_of_a_workspace_is_refused(tmp_path):
    command = [sys.executable, "-m", "tests.benchmarks.tui", "--training", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "workspace.toml" in ended.stderr
