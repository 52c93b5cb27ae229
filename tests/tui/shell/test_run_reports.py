from diffbev_engine.runs.status import RunState
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.run_reports import RunReports
from tests.tui.monitor.run_files import write_run


def test_only_runs_that_may_have_changed_are_looked_into(tmp_path):
    over = write_run(tmp_path / "over", step=100, max_iters=100, state=RunState.FINISHED).path
    alive = write_run(tmp_path / "alive", step=100, max_iters=200).path
    reports = RunReports()
    first = reports.look([over, alive])
    assert reports.inspected == 2
    assert [run.path for run in reports.look([over, alive])] == [run.path for run in first]
    assert reports.inspected == 3


def test_a_run_that_is_over_is_looked_into_when_its_files_change(tmp_path):
    run = write_run(tmp_path / "run", step=100, max_iters=200, state=RunState.INTERRUPTED)
    reports = RunReports()
    assert reports.look([run.path])[0].resumable
    for checkpoint in run.path.glob("*.pth"):
        checkpoint.unlink()
    assert not reports.look([run.path])[0].resumable
    write_run(run.path, step=150, max_iters=200)
    assert reports.look([run.path])[0].state is RunCondition.RUNNING
    assert reports.look([tmp_path / "gone"]) == ()
