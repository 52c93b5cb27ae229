from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_engine.runs.metrics import MetricsWriter
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_tui.alerts import detect as alerts
from diffbev_tui.alerts.detect import AlertDetector, Concern, divergence


def report(path: Path, state=RunCondition.RUNNING, activity="training", **fields) -> RunReport:
    said = RunStatus(RunState.TRAINING, 1000, step=100, updated=1000.0, it_per_s=5.0)
    nothing: dict = dict.fromkeys(["cause", "config", "started", "ended", "exit_code", "signal"])
    nothing |= {"console": None, "process": None}
    return RunReport(
        **nothing,
        path=str(path),
        state=state,
        resumable=False,
        message="the process no longer exists",
        activity=activity if state is RunCondition.RUNNING else None,
        detached=True,
        updated=said.updated,
        status=said,
        **{"step": 100, "age_s": 0.0, **fields},
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path, [1.0] * 30)
    return tmp_path


def write(run: Path, losses: list[float]) -> float:
    """Rows 50 iterations apart; the time of the last one."""
    writer = MetricsWriter(run / "metrics.csv")
    for number, loss in enumerate(losses, start=1):
        writer.write({"step": 50 * number, "mode": "train", "loss": loss})
    writer.close()
    return (run / "metrics.csv").stat().st_mtime


def concerns(detector: AlertDetector, run: RunReport) -> list[Concern]:
    return [alert.concern for alert in detector.look(run)]


def test_a_stall_is_said_once_and_again_only_after_progress(run):
    detector = AlertDetector()
    assert concerns(detector, report(run, age_s=59.0)) == []
    stalled = report(run, activity="stalled", stalled=True, age_s=61.0)
    (alert,) = detector.look(stalled)
    assert (alert.concern, alert.seconds, alert.step) == (Concern.STALLED, 61.0, 100)
    assert concerns(detector, stalled) == []
    assert concerns(detector, replace(stalled, step=150)) == [Concern.STALLED]


def test_an_evaluation_is_no_stall_while_its_heart_beats(run):
    assert concerns(AlertDetector(), report(run, activity="evaluating", age_s=200.0)) == []
    assert concerns(AlertDetector(), report(run, activity="evaluating", age_s=400.0)) == [Concern.STALLED]


def test_nan_is_said_once_with_its_column_and_step(run):
    write(run, [1.0, float("nan"), float("nan")])
    detector = AlertDetector()
    (alert,) = detector.look(report(run))
    assert (alert.concern, alert.column, alert.step) == (Concern.NOT_FINITE, "loss", 100)
    assert detector.look(report(run)) == []


def test_a_diverging_loss_is_said_once(run):
    write(run, [1.0] * 100 + [9.0] * 11)
    detector = AlertDetector()
    (alert,) = detector.look(report(run))
    assert (alert.concern, alert.values) == (Concern.DIVERGING, (1.0, 9.0))
    assert detector.look(report(run)) == []


def test_a_noisy_or_falling_loss_does_not_diverge():
    assert divergence([1.0, 2.9] * 100) is None
    assert divergence([1000 / step for step in range(1, 300)]) is None
    assert divergence([1.0] * 10 + [9.0] * 11) is None  # too few rows to tell


def test_a_dead_process_is_said_once_also_to_who_comes_later(run):
    detector = AlertDetector()
    dead = report(run, RunCondition.DEAD)
    (alert,) = detector.look(dead)
    assert (alert.concern, alert.message) == (Concern.ENDED, "the process no longer exists")
    assert detector.look(dead) == []
    assert concerns(detector, replace(dead, started=5.0)) == [Concern.ENDED]


def test_other_bad_ends_are_said_to_who_saw_the_run_alive(run):
    oom = report(run, RunCondition.OOM)
    assert concerns(AlertDetector(), oom) == []
    detector = AlertDetector()
    detector.look(report(run))
    assert concerns(detector, oom) == [Concern.ENDED]
    assert concerns(detector, report(run, RunCondition.FINISHED)) == []


def test_a_disk_without_room_for_checkpoints_is_said_once(run, monkeypatch):
    detector = AlertDetector()
    usage = namedtuple("usage", "total used free")  # as shutil's
    monkeypatch.setattr(alerts, "disk_usage", lambda _: usage(10 * 2**30, 10 * 2**30, 2**20))
    assert [alert.free for alert in detector.look(report(run)) if alert.concern is Concern.DISK] == [2**20]
    assert not [alert for alert in detector.look(report(run)) if alert.concern is Concern.DISK]
