"""How a run ended: its own words, else the true signal, else the last error that it printed."""

import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace

from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.last_words import last_error
from diffbev_engine.runs.launch import Launch, read_launch, start_detached, write_launch
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_engine.runs.verdict import Cause, RunCondition
from tests.processes import wait_until

ENDED = replace(identify(), start=1.0)


def _ended(folder, **fields):
    plain = {"id": "1", "command": ("train",), "cwd": "/", "environment": {}, "console": "console_1.log"}
    times = {"started": time.time() - 9, "ended": time.time()}
    write_launch(folder, Launch(**{**plain, **times, "supervisor": ENDED, "process": ENDED, **fields}))
    return inspect_run(folder.path)


def test_the_true_signal_is_named(folder):
    for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL):
        launch = start_detached(folder, [sys.executable, "-c", "import time; time.sleep(60)"])
        os.kill(launch.process.pid, number)
        wait_until(lambda: read_launch(folder).ended)
        report = inspect_run(folder.path)
        found = report.state, report.cause, report.signal, report.exit_code
        assert found == (RunCondition.DEAD, Cause.SIGNAL, number.name, None)
        assert report.reason.startswith(f"killed by {number.name}")
        assert "ran out" not in report.reason


def test_host_memory_is_blamed_on_the_word_of_the_kernel_alone(folder):
    killed = {"signal": "SIGKILL", "message": "killed by SIGKILL"}
    assert _ended(folder, **killed).cause is Cause.SIGNAL
    assert _ended(folder, **killed, oom_kills_host=0, oom_kills_cgroup=0).cause is Cause.SIGNAL
    assert _ended(folder, **killed, oom_kills_cgroup=1).cause is Cause.HOST_MEMORY
    assert _ended(folder, signal="SIGTERM", oom_kills_cgroup=1).cause is Cause.SIGNAL


def test_without_a_supervisor_nothing_is_claimed(folder):
    folder.manifest.write_text(json.dumps({"process": asdict(ENDED), "started": "2026-01-01T00:00:00+00:00"}))
    folder.status.write_text(json.dumps(asdict(RunStatus(RunState.TRAINING, 9, process=ENDED))))
    report = inspect_run(folder.path)
    assert (report.state, report.cause, report.signal) == (RunCondition.DEAD, Cause.GONE, None)
    assert "SIGKILL" not in report.reason
    assert "memory" not in report.reason
    (folder.path / "train_20260101_000000.log").write_text(
        "2026-01-01 00:00:01 E bad\nOSError: [Errno 116] Stale\n"
    )
    assert inspect_run(folder.path).reason.endswith("last error logged: OSError: [Errno 116] Stale")


def test_the_last_error_of_the_console_is_the_reason(folder):
    (folder.path / "console_1.log").write_text("one\nerror: a.py, line 3: unknown key 'lrr'\n")
    report = _ended(folder, exit_code=2, message="ended with exit code 2")
    assert report.state is RunCondition.FAILED
    assert report.reason == "a.py, line 3: unknown key 'lrr' (exit code 2; see console_1.log)"


def test_its_own_words_come_first(folder):
    (folder.path / "console_1.log").write_text("error: later\n")
    status = RunStatus(
        RunState.FAILED,
        9,
        updated=time.time(),
        message="no room on \x1b]0;x\x07/data",
        launch="1",
        process=ENDED,
    )
    folder.status.write_text(json.dumps(asdict(status)))
    assert _ended(folder, exit_code=1).reason == "no room on /data"
    folder.status.write_text(json.dumps(asdict(replace(status, message=""))))
    assert _ended(folder, exit_code=1).reason == "later"


def test_a_signal_behind_a_launcher_is_found(folder):
    assert _ended(folder, exit_code=137).signal == "SIGKILL"
    (folder.path / "console_1.log").write_text("  traceback : Signal 11 (SIGSEGV) received by PID 71\n")
    report = _ended(folder, exit_code=1)
    assert (report.state, report.cause, report.signal) == (RunCondition.DEAD, Cause.SIGNAL, "SIGSEGV")


def test_a_zombie_is_dead(folder):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    child = identify(pid)
    folder.manifest.write_text(json.dumps({"process": asdict(child)}))
    wait_until(lambda: not child.alive)
    assert inspect_run(folder.path).state is RunCondition.DEAD
    os.waitpid(pid, 0)


def test_error_lines_are_told_from_others(tmp_path):
    log = tmp_path / "a.log"
    for text, error in (
        ("error: x\nwarning: y\n", "x"),
        (
            "Traceback (most recent call last):\n  File\ntorch.OutOfMemoryError: CUDA\n",
            "torch.OutOfMemoryError: CUDA",
        ),
        ("[rank1]: RuntimeError: NCCL\n", "RuntimeError: NCCL"),
        ("Fatal Python error: Segmentation fault\n\nThread 1\n", "Fatal Python error: Segmentation fault"),
        ("2026-01-01 00:00:00 E disk full\n2026-01-01 00:00:01 I saved\n", "disk full"),
        ("10%|##|\rerror: after a bar\n", "after a bar"),
        ("no errors here\nan error: inside\nIoU Error rates\n", ""),
        ("", ""),
    ):
        log.write_text(text)
        assert last_error([log]) == error, text
    assert last_error([tmp_path / "none", log]) == ""


def test_launch_json_keeps_no_secrets_and_is_private(folder, monkeypatch):
    monkeypatch.setenv("TORCH_HUB_TOKEN", "hush")
    monkeypatch.setenv("DIFFBEV_API_KEY", "hush")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "told")
    start_detached(folder, [sys.executable, "-c", ""])
    assert "hush" not in folder.launch.read_text()
    assert read_launch(folder).environment["NCCL_SOCKET_IFNAME"] == "told"
    assert folder.launch.stat().st_mode & 0o777 == 0o600
