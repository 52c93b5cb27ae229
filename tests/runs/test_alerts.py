"""What happens to a run is detected once, written down as facts, and said in both languages."""

from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.runs import alert_detector
from diffbev_engine.runs.alert_detector import AlertDetector, divergence
from diffbev_engine.runs.alerts import Alert, AlertKind, alert_words, append_alerts, read_alerts
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_engine.runs.verdict import RunCondition


def report(path: Path, state=RunCondition.RUNNING, activity="training", **fields) -> RunReport:
    said = RunStatus(RunState.TRAINING, 1000, step=100, updated=1000.0, it_per_s=5.0)
    nothing: dict = dict.fromkeys(["cause", "config", "started", "ended", "exit_code", "signal"])
    nothing |= {"console": None, "process": None}
    return RunReport(
        **nothing,
        path=str(path),
        state=state,
        resumable=False,
        message="",
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


@pytest.fixture
def detector(run: Path) -> AlertDetector:
    return AlertDetector(RunFolder(run))


def write(run: Path, losses: list[float]) -> None:
    """Rows 50 iterations apart."""
    writer = MetricsWriter(run / "metrics.csv")
    for number, loss in enumerate(losses, start=1):
        writer.write({"step": 50 * number, "mode": "train", "loss": loss})
    writer.close()


def kinds(detector: AlertDetector, run: RunReport) -> list[AlertKind]:
    return [alert.kind for alert in detector.look(run)]


def test_a_stall_is_told_once_and_its_end_too(run, detector):
    assert kinds(detector, report(run, age_s=59.0)) == []
    stalled = report(run, activity="stalled", stalled=True, age_s=61.0, reason="no iteration for 61 s")
    (alert,) = detector.look(stalled)
    assert (alert.kind, alert.step, alert.message) == (AlertKind.STALLED, 100, "no iteration for 61 s")
    assert kinds(detector, replace(stalled, age_s=900.0)) == []
    (alert,) = detector.look(report(run, step=101))
    assert (alert.kind, alert.step, alert.seconds) == (AlertKind.CONTINUES, 101, 900.0)
    assert kinds(detector, stalled) == [AlertKind.STALLED]


def test_trouble_is_told_once_until_it_is_over(run, detector):
    full = report(run, trouble="cannot write checkpoint iter_4.pth: No space left on device.")
    (alert,) = detector.look(full)
    assert (alert.kind, alert.message) == (AlertKind.TROUBLE, full.trouble)
    assert alert_words(alert).en.startswith("problem at iteration 100: cannot write checkpoint")
    assert kinds(detector, full) == kinds(detector, report(run)) == []
    assert kinds(detector, full) == [AlertKind.TROUBLE]
    assert kinds(detector, replace(full, stalled=True, age_s=61.0)) == [AlertKind.STALLED]


def test_an_evaluation_is_no_stall_while_its_heart_beats(run, detector):
    assert kinds(detector, report(run, activity="evaluating", age_s=200.0)) == []
    assert kinds(detector, report(run, activity="evaluating", age_s=400.0)) == [AlertKind.STALLED]


def test_nan_is_told_once_with_its_column_and_step(run, detector):
    write(run, [1.0, float("nan"), float("nan")])
    (alert,) = detector.look(report(run))
    assert (alert.kind, alert.column, alert.step) == (AlertKind.NOT_FINITE, "loss", 100)
    assert detector.look(report(run)) == []


def test_a_diverging_loss_is_told_once(run, detector):
    write(run, [1.0] * 100 + [9.0] * 11)
    (alert,) = detector.look(report(run))
    assert (alert.kind, alert.before, alert.value) == (AlertKind.DIVERGING, 1.0, 9.0)
    assert detector.look(report(run)) == []


def test_a_noisy_or_falling_loss_does_not_diverge():
    assert divergence([1.0, 2.9] * 100) is None
    assert divergence([1000 / step for step in range(1, 300)]) is None
    assert divergence([1.0] * 10 + [9.0] * 11) is None  # too few rows to tell


def test_every_end_is_told_once_with_the_reason(run):
    for state, kind in alert_detector._ENDS.items():
        detector = AlertDetector(RunFolder(run))
        ended = report(run, state, reason="why it ended")
        (alert,) = detector.look(ended)
        assert alert.kind is kind
        assert alert.message == ("" if kind is AlertKind.FINISHED else "why it ended")
        assert detector.look(ended) == []
    assert AlertDetector(RunFolder(run)).look(report(run, RunCondition.UNKNOWN)) == []


def test_a_new_best_is_news_but_not_what_the_checkpoint_knew(run, detector):
    assert kinds(detector, report(run, best_miou=0.20, best_step=50)) == []
    assert kinds(detector, report(run, best_miou=0.20, best_step=50)) == []
    (alert,) = detector.look(report(run, best_miou=0.214, best_step=100))
    assert (alert.kind, alert.value, alert.before, alert.step) == (AlertKind.NEW_BEST, 0.214, 0.20, 100)
    assert alert_words(alert).en == "new best mIoU 21.4 (+1.4) at iteration 100"


def test_a_disk_without_room_for_checkpoints_is_told_once(run, detector, monkeypatch):
    monkeypatch.setattr(alert_detector, "free_bytes", lambda _: 2**20)
    (alert,) = detector.look(report(run))
    assert (alert.kind, alert.free) == (AlertKind.DISK_LOW, 2**20)
    assert detector.look(report(run)) == []


def test_what_was_written_is_read_whatever_else_is_in_the_file(tmp_path):
    path = tmp_path / "alerts.jsonl"
    first = Alert(10.0, AlertKind.STALLED, 5, message="no iteration", seconds=61.0)
    second = Alert(20.0, AlertKind.FINISHED, 9)
    append_alerts(path, [first])
    with path.open("ab") as file:
        file.write(b'\xff\xfe{"time": 1}\n{"time": "x", "kind": "stalled"}\n[[[[\nnull\n{"kind": "later"}\n')
    append_alerts(path, [second])
    assert read_alerts(path) == (first, second)
    assert read_alerts(tmp_path / "none") == ()
    append_alerts(tmp_path / "no" / "folder", [first])  # a disk that cannot be written ends nothing


def test_every_alert_is_said_in_both_languages():
    for kind in AlertKind:
        said = alert_words(Alert(1.0, kind, 5, message="m", column="loss", value=0.5, before=0.4, free=9.0))
        assert said.zh != said.en
        assert not set(said.en) & set("，。：（")
    hostile = alert_words(Alert(1.0, AlertKind.FAILED, 5, message="a\x1b]52;c;x\x07b")).en
    assert "\x1b" not in hostile
