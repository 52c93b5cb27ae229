"""The facts about a failure: which logs count, how the run ended, and what that shows."""

import json
import os
import time
from dataclasses import asdict, replace
from datetime import datetime

import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.findings.failure import (
    DETECTORS,
    context_of,
    context_of_run,
    newest_logs,
    signal_of,
)
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, write_launch
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus

ENDED = replace(identify(), start=1.0)


def _training(path, process=ENDED, state=RunState.TRAINING, **fields):
    folder = RunFolder(path)
    folder.manifest.write_text(json.dumps({"process": asdict(process), "launch": "1"}))
    folder.status.write_text(json.dumps(asdict(RunStatus(state, 100, updated=time.time(), **fields))))
    return folder


def _ended(path, **how):
    folder = _training(path)
    plain = {"command": ("train",), "cwd": "/", "environment": {}, "console": "console_20260101_000000.log"}
    started = time.time() - 9
    launch = Launch(id="1", started=started, supervisor=ENDED, process=ENDED, ended=time.time(), **plain)
    write_launch(folder, replace(launch, **how))
    return context_of_run(path)


def _seen(context):
    return {name for name in ("killed", "crashed", "rebooted", "vanished") if DETECTORS[name](context)} | {
        name for name in ("host_memory_exhausted", "host_memory_possible") if DETECTORS[name](context)
    }


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({"signal": "SIGKILL", "oom_kills_cgroup": 1}, {"host_memory_exhausted"}),
        ({"signal": "SIGKILL", "oom_kills_host": 2}, {"host_memory_exhausted"}),
        ({"signal": "SIGKILL"}, {"host_memory_possible", "killed"}),
        ({"signal": "SIGKILL", "oom_kills_host": 0, "oom_kills_cgroup": 0}, {"killed"}),
        ({"signal": "SIGTERM"}, {"killed"}),
        ({"signal": "SIGHUP"}, {"killed"}),
        ({"signal": "SIGSEGV"}, {"crashed"}),
        ({"signal": "SIGBUS"}, {"crashed"}),
        ({"signal": "SIGABRT"}, {"crashed"}),
        ({"exit_code": 1}, set()),
        ({"exit_code": 1, "oom_kills_cgroup": 1}, {"host_memory_exhausted"}),
        ({"exit_code": 1, "oom_kills_host": 1, "oom_kills_cgroup": 0}, {"host_memory_possible"}),
    ],
)
def test_the_true_signal_says_how_a_run_ended(how, seen, tmp_path):
    context = _ended(tmp_path, **how)
    assert _seen(context) == seen
    assert context.signal == how.get("signal", "")


def test_a_process_that_is_gone_is_not_said_to_be_killed(tmp_path):
    _training(tmp_path)
    assert _seen(context_of_run(tmp_path)) == {"vanished"}
    _training(tmp_path, identify())
    assert _seen(context_of_run(tmp_path)) == set()
    _training(tmp_path, replace(ENDED, boot_id="before"))
    assert _seen(context_of_run(tmp_path)) == {"rebooted"}


def test_exit_codes_of_shells_and_python_are_signals():
    for code in (137, -9, 247):
        assert signal_of(code) == "SIGKILL", code
    assert (signal_of(143), signal_of(139), signal_of(135)) == ("SIGTERM", "SIGSEGV", "SIGBUS")
    assert [signal_of(code) for code in (None, 0, 1, 5, 128, 255, 300)] == [""] * 4 + [""] + ["SIGHUP", ""]


def _write(path, *names):
    for name in names:
        (path / name).write_text(f"of {name}\n")


def test_only_the_newest_start_counts(tmp_path):
    old, new = "20260101_000000", "20260102_000000"
    _write(tmp_path, f"train_{old}.log", f"train_{new}.log", "console_20251231_235958.log")
    _write(tmp_path, "console_20260101_235958.log", "iter_100.pth")
    names = [path.name for path in newest_logs(tmp_path)]
    assert names == [f"train_{new}.log", "console_20260101_235958.log"]
    _write(tmp_path, "console_20260103_000000.log")
    assert [path.name for path in newest_logs(tmp_path)] == ["console_20260103_000000.log"], (
        "it ended before it could open its log"
    )


def test_what_a_scheduler_kept_of_the_newest_start_counts(tmp_path):
    _write(tmp_path, "train_20260102_000000.log", "slurm-1.out", "slurm-2.out")
    begun = datetime(2026, 1, 2).timestamp()
    os.utime(tmp_path / "slurm-1.out", (begun - 99, begun - 99))
    assert [path.name for path in newest_logs(tmp_path)] == ["train_20260102_000000.log", "slurm-2.out"]


def test_foreign_logs_are_read_by_their_age(tmp_path):
    _write(tmp_path, "a.log", "b.log", "c.log")
    for age, name in enumerate(("c.log", "a.log", "b.log")):
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert [path.name for path in newest_logs(tmp_path)] == ["a.log", "c.log"]


def test_the_message_in_the_status_is_evidence(tmp_path):
    _training(
        tmp_path, state=RunState.FAILED, message="DataLoader worker (pid 7) is killed by signal: Killed."
    )
    (log,) = context_of_run(tmp_path).logs
    assert (log.name, log.lines[0][:10]) == ("status.json", "DataLoader")


def test_a_log_of_an_earlier_start_is_not_held_against_the_newest(tmp_path):
    _training(tmp_path, state=RunState.FINISHED)
    _write(tmp_path, "train_20260101_000000.log", "train_20260102_000000.log")
    assert context_of(tmp_path / "train_20260102_000000.log").is_well
    earlier = context_of(tmp_path / "train_20260101_000000.log")
    assert (earlier.run, earlier.is_well) == (None, False)


def test_a_missing_target_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no run directory or log"):
        context_of(tmp_path / "none")
