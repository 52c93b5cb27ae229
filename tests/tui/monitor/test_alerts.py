from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_engine.runs.metrics import MetricsWriter
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_tui.core import alerts
from diffbev_tui.core.alerts import Alarm, Concern, divergence, usual_interval


def report(path: Path, state=RunCondition.RUNNING, activity="training", **status) -> RunReport:
    said = RunStatus(RunState.TRAINING, 1000, **{"step": 100, "updated": 1000.0, "it_per_s": 5.0, **status})
    nothing: dict = dict.fromkeys(["cause", "config", "started", "ended", "exit_code", "signal"])
    nothing |= {"console": None, "process": None}
    return RunReport(
        **nothing,
        path=str(path),
        state=state,
        resumable=False,
        message="its process is gone",
        activity=activity if state is RunCondition.RUNNING else None,
        detached=True,
        updated=said.updated,
        status=said,
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


def concerns(alarm: Alarm, run: RunReport) -> list[Concern]:
    return [alert.concern for alert in alarm.look(run)]


def test_a_stall_is_said_once_after_three_usual_intervals_but_not_before_a_minute(run):
    written = (run / "metrics.csv").stat().st_mtime
    now = [written + 59]
    alarm = Alarm(lambda: now[0])
    assert concerns(alarm, report(run)) == []
    now[0] = written + 61  # 50 iterations at 5 it/s: a row every 10 s
    assert concerns(alarm, report(run)) == [Concern.STALLED]
    assert concerns(alarm, report(run)) == []
    assert concerns(alarm, report(run, step=150)) == [Concern.STALLED]


def test_slow_rows_are_no_stall(run):
    written = (run / "metrics.csv").stat().st_mtime
    assert concerns(Alarm(lambda: written + 140), report(run, it_per_s=1.0)) == []
    assert concerns(Alarm(lambda: written + 160), report(run, it_per_s=1.0)) == [Concern.STALLED]


def test_an_evaluation_writes_no_rows_and_is_no_stall_while_its_heart_beats(run):
    evaluating = report(run, activity="evaluating", updated=5e9)
    assert concerns(Alarm(lambda: 5e9 + 200), evaluating) == []
    assert concerns(Alarm(lambda: 5e9 + 400), evaluating) == [Concern.STALLED]


def test_nan_is_said_once_with_its_column_and_step(run):
    written = write(run, [1.0, float("nan"), float("nan")])
    alarm = Alarm(lambda: written)
    (alert,) = alarm.look(report(run))
    assert (alert.concern, alert.column, alert.step) == (Concern.NOT_FINITE, "loss", 100)
    assert alarm.look(report(run)) == []


def test_a_diverging_loss_is_said_once(run):
    written = write(run, [1.0] * 100 + [9.0] * 11)
    alarm = Alarm(lambda: written)
    (alert,) = alarm.look(report(run))
    assert (alert.concern, alert.values) == (Concern.DIVERGING, (1.0, 9.0))
    assert alarm.look(report(run)) == []


def test_a_noisy_or_falling_loss_does_not_diverge():
    assert divergence([1.0, 2.9] * 100) is None
    assert divergence([1000 / step for step in range(1, 300)]) is None
    assert divergence([1.0] * 10 + [9.0] * 11) is None  # too few rows to tell


def test_a_dead_process_is_said_once_also_to_who_comes_later(run):
    alarm = Alarm(lambda: 0.0)
    dead = report(run, RunCondition.DEAD)
    (alert,) = alarm.look(dead)
    assert (alert.concern, alert.message) == (Concern.ENDED, "its process is gone")
    assert alarm.look(dead) == []
    assert concerns(alarm, replace(dead, started=5.0)) == [Concern.ENDED]


def test_other_bad_ends_are_said_to_who_saw_the_run_alive(run):
    written = (run / "metrics.csv").stat().st_mtime
    oom = report(run, RunCondition.OOM)
    assert concerns(Alarm(), oom) == []
    alarm = Alarm(lambda: written)
    alarm.look(report(run))
    assert concerns(alarm, oom) == [Concern.ENDED]
    assert concerns(alarm, report(run, RunCondition.FINISHED)) == []


def test_the_usual_interval_is_not_known_without_rows_or_speed():
    assert usual_interval([50, 100, 150], 5.0) == 10
    assert usual_interval([50], 5.0) is None
    assert usual_interval([50, 100], None) is None


def test_a_disk_without_room_for_checkpoints_is_said_once(run, monkeypatch):
    alarm = Alarm()
    usage = namedtuple("usage", "total used free")  # as shutil's
    monkeypatch.setattr(alerts, "disk_usage", lambda _: usage(10 * 2**30, 10 * 2**30, 2**20))
    assert [alert.free for alert in alarm.look(report(run)) if alert.concern is Concern.DISK] == [2**20]
    assert not [alert for alert in alarm.look(report(run)) if alert.concern is Concern.DISK]
