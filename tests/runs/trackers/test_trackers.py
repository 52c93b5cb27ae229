"""Trackers hold what metrics.csv holds, whatever happens to the training, which nothing of them disturbs."""

import os
import signal
import sys

import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.extras import Lack, lacking, require
from diffbev_engine.runs.alerts import AlertKind, alert_words, read_alerts
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.trackers import feed
from diffbev_engine.runs.trackers.feed import Feed
from tests.processes import PATIENCE_S, engine, wait_until
from tests.runs.trackers import read_back

_ALL = ["tensorboard", "wandb", "swanlab"]
_ABSENT = [lack for name in _ALL for lack in lacking([name], name)]
needs_all = pytest.mark.skipif(bool(_ABSENT), reason=f"needs {', '.join(map(str, _ABSENT))}")


def _same(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-6), key


def _told(folder):
    """Whether no process feeds a tracker of this run any more, and each has something."""
    states = [folder.tracker(name) for name in _ALL]
    return all(state.exists() and '"process": null' in state.read_text() for state in states)


@needs_all
@pytest.mark.slow(40)
def test_after_kill_9_and_resume_each_tracker_equals_metrics_csv(tiny_config, tmp_path):
    folder = RunFolder(tmp_path / "run")
    arguments = ("train", tiny_config, "--work-dir", folder.path)
    sets = ("runner.max_iters=400", "checkpoint_config.interval=10", "evaluation.interval=20")
    sets += (f"log_config.hooks={_ALL}", "log_config.interval=2")
    settings = [part for override in sets for part in ("--set", override)]
    training = engine(*arguments, *settings)
    try:
        wait_until(lambda: folder.metrics.exists() and folder.metrics.read_text().count("\n") > 20)
        training.send_signal(signal.SIGKILL)
    finally:
        training.kill()
        training.wait()
    wait_until(lambda: _told(folder))
    abandoned = max(step for _, step in read_back.metrics(folder.path))
    _same(read_back.tensorboard(folder.path), read_back.metrics(folder.path))
    held, _ = max(folder.checkpoints())
    assert max(step for _, step in read_back.wandb(folder.path, [])) <= held <= abandoned

    settings[1] = f"runner.max_iters={abandoned + 20}"
    resumed = engine(*arguments, *settings, "--resume")
    said, _ = resumed.communicate(timeout=PATIENCE_S)
    assert resumed.returncode == 0, said
    wait_until(lambda: _told(folder))
    expected = read_back.metrics(folder.path)
    assert max(step for _, step in expected) == abandoned + 20
    _same(read_back.tensorboard(folder.path), expected)
    groups: list[str] = []
    _same(read_back.wandb(folder.path, groups), expected)
    _same(read_back.swanlab(folder.path, groups), expected)
    assert groups == ["run"] * 4


def _log(folder, steps, keep=0):
    writer = MetricsWriter(folder.metrics, keep_until_step=keep)
    for step in steps:
        writer.write({"step": step, "mode": "train", "phase": "train", "loss": step / 8})
    writer.close()


class _Memory:
    """A tracker that keeps what it is sent."""

    def __init__(self, leg, sent):
        self._leg, self._sent = leg, sent

    def row(self, row):
        self._sent.append((self._leg.group, self._leg.number, row.step))

    def flush(self):
        pass

    def finish(self):
        self._sent.append("finished")


@pytest.fixture
def sent(monkeypatch):
    rows = []
    monkeypatch.setattr(feed, "open_sink", lambda _tracker, leg: _Memory(leg, rows))
    return rows


def test_what_only_appends_gets_what_a_checkpoint_holds_and_each_row_once(folder, sent):
    _log(folder, range(1, 8))
    folder.checkpoint(4).touch()
    Feed(folder, None, "wandb", 0).run()
    assert sent == [*(("run", 1, step) for step in range(1, 5)), "finished"]
    sent.clear()
    _log(folder, range(5, 10), keep=4)
    folder.checkpoint(9).touch()
    Feed(folder, None, "wandb", 4).run()
    assert sent == [*(("run", 2, step) for step in range(5, 10)), "finished"]


def test_a_run_that_goes_back_behind_that_is_a_group_of_its_own(folder, sent):
    _log(folder, range(1, 9))
    folder.checkpoint(8).touch()
    Feed(folder, None, "wandb", 0).run()
    sent.clear()
    _log(folder, [5, 6], keep=4)
    Feed(folder, None, "wandb", 4).run()
    assert sent == [*(("run [2]", 2, step) for step in range(1, 7)), "finished"]


def test_a_tracker_that_fails_is_tried_again_and_told_once(folder, sent, monkeypatch):
    _log(folder, range(1, 6))
    folder.checkpoint(5).touch()
    failures = [ConnectionError("no route to host, key=wandb_v1_secret"), OSError("quota")]
    honest = feed.open_sink

    def failing(tracker, leg):
        if failures:
            raise failures.pop(0)
        return honest(tracker, leg)

    monkeypatch.setattr(feed, "open_sink", failing)
    monkeypatch.setattr(feed, "_RETRY_S", (0.01,))
    one = Feed(folder, None, "wandb", 0)
    alive = iter([True] * 6)
    monkeypatch.setattr(one, "_training_alive", lambda: next(alive, False))
    one.run()
    assert [row[2] for row in sent[:-1]] == [1, 2, 3, 4, 5]
    (alert,) = read_alerts(folder.alerts)
    assert (alert.kind, alert.step) == (AlertKind.NOT_TRACKED, 5)
    assert "no route to host" in alert_words(alert).en
    assert "未收到指标" in alert_words(alert).zh


def test_the_rest_is_tried_again_after_the_end_of_the_training(folder, sent, monkeypatch):
    _log(folder, [1, 2])
    folder.checkpoint(2).touch()
    failures = [ConnectionError("no route to host")]
    honest = feed.open_sink
    monkeypatch.setattr(feed, "_RETRY_S", (0.01,))
    monkeypatch.setattr(
        feed, "open_sink", lambda *given: honest(*given) if not failures else _raise(failures.pop())
    )
    Feed(folder, None, "wandb", 0).run()
    assert [row[2] for row in sent[:-1]] == [1, 2]
    failures += [OSError("still none")] * 9
    Feed(folder, None, "swanlab", 0).run()
    assert len(failures) == 6


def _raise(error):
    raise error


def test_a_tracker_that_hangs_ends_soon_after_the_training(folder):
    """In a process of its own, as in use; the training that started it has returned long before."""
    _log(folder, [1, 2])
    folder.checkpoint(2).touch()
    code = (
        "import sys, time\nfrom diffbev_engine.runs.trackers import feed\nfeed._ENDS_WITHIN_S = 1.0\n"
        "feed.open_sink = lambda *_: time.sleep(3600)\nfeed.main(sys.argv[1:])"
    )
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, str(folder.path), str(2**22), "wandb", "0"],
        {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "does not answer" in read_alerts(folder.alerts)[0].message


@pytest.mark.skipif(bool(lacking(["tensorboard"], "tensorboard")), reason="tensorboard is not installed")
def test_a_finished_run_is_exported_in_the_place_of_what_was_there(folder, program):
    _log(folder, range(1, 6))
    for _ in range(2):
        code, said = program("runs", "export-tensorboard", folder.path)
        assert (code, "(5 rows)" in said) == (0, True), said
    _same(read_back.tensorboard(folder.path), read_back.metrics(folder.path))
    assert program("runs", "export-tensorboard", folder.path / "nothing")[0] != 0


def test_a_missing_package_is_named_before_the_training_starts(tiny_settings, tmp_path, monkeypatch):
    from diffbev_engine.findings import machine
    from diffbev_engine.findings.plan import Plan

    content = tiny_settings.model_dump() | {"log_config": {"hooks": [{"type": "TensorboardLoggerHook"}]}}
    settings = type(tiny_settings).model_validate(content)
    assert settings.log_config.hooks == ("tensorboard",)
    for lack, words in (
        (Lack("tensorboard"), "is not installed"),
        (Lack("tensorboard", ">=2", "1.9"), "too old"),
    ):
        monkeypatch.setattr(machine, "lacking", lambda _packages, _extra, lack=lack: [lack])
        (found,) = machine.trackers(Plan(settings, "tiny.py", tmp_path, ()))
        assert words in found.title.en
        assert found.remedies[0].shell == 'pip install "diffbev[tensorboard]"'
    with pytest.raises(UsageError, match=r'pip install "diffbev\[tensorboard\]"'):
        require("this", ["tensorboard_of_nobody"], "tensorboard")
