"""What a run tells about itself while it trains."""

import pytest

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.status import Phase, RunState
from diffbev_engine.train.checkpoint import Best
from diffbev_engine.train.recorder import Recorder


@pytest.fixture
def record(tmp_path):
    """Recorders of one run directory, closed at the end."""
    made = []

    def record(**arguments):
        made.append(Recorder(RunFolder(tmp_path), **arguments))
        return made[-1]

    yield record
    for one in made:
        one.finish(RunState.FINISHED, "")


def test_a_resumed_run_knows_its_scores_before_its_next_evaluation(tmp_path, record):
    folder = RunFolder(tmp_path)
    rows = MetricsWriter(folder.metrics)
    for step, miou in ((2, 0.3), (4, 0.2), (6, 0.9)):
        rows.write({"step": step, "mode": "eval", "mIoU": miou})
    rows.close()
    folder.checkpoint(4).touch()
    record(max_iters=10, start=4, best=Best(0.3, 2))
    report = inspect_run(tmp_path)
    assert (report.step, report.best_miou, report.best_step) == (4, 0.3, 2)
    assert (report.last_miou, report.last_miou_step, report.last_checkpoint) == (0.2, 4, "iter_4.pth")


def test_the_status_tells_what_the_training_is_busy_with(tmp_path, record):
    recorder = record(max_iters=100, start=20)
    phases = [recorder.phase_at(step) for step in (20, 21, 24, 25)]
    assert phases == [Phase.STARTING, Phase.WARMING_UP, Phase.WARMING_UP, Phase.STEPPING]
    recorder.iterated(30, usual_s=0.5)
    with recorder.saving():
        assert inspect_run(tmp_path).status.phase is Phase.SAVING
    report = inspect_run(tmp_path)
    found = report.activity, report.status.phase, report.status.median_step_s
    assert found == ("training", Phase.STEPPING, 0.5)
