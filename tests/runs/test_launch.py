"""A detached training outlives whoever started it, and its end is written down."""

import json
import os
import pty
import signal
import sys
import time

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs import supervisor
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.launch import TrainingArguments, read_launch, start_detached
from diffbev_engine.runs.lock import RunHeldError
from diffbev_engine.runs.oom_kills import OomKills, count_oom_kills
from diffbev_engine.runs.status import RunState, read_status
from diffbev_engine.runs.verdict import Cause, RunCondition
from tests.processes import PATIENCE_S, wait_until
from tests.runs.children import contents, pretend_training, python

LAUNCH_AND_WAIT = """
import json, sys, time
from pathlib import Path
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import start_detached
start_detached(RunFolder(Path(sys.argv[1])), json.loads(sys.argv[2]))
print("launched", flush=True)
time.sleep(60)
"""


def _step(folder):
    status = read_status(folder.status)
    return status.step if status else 0


def _trains_on(folder):
    """Whether more steps come from now on."""
    wait_until(lambda: _step(folder))
    now = _step(folder)
    wait_until(lambda: _step(folder) > now)
    return True


def _ended(folder):
    wait_until(lambda: read_launch(folder).ended)
    return read_launch(folder)


def _starts(code):
    return [sys.executable, "-c", code]


def test_it_survives_sigkill_of_its_parent(folder):
    parent = python(LAUNCH_AND_WAIT, folder.path, json.dumps(pretend_training(folder)))
    assert parent.stdout.readline() == "launched\n"
    parent.kill()
    parent.wait()
    assert _trains_on(folder)
    assert inspect_run(folder.path).state is RunCondition.RUNNING

    os.kill(read_launch(folder).process.pid, signal.SIGINT)
    assert _ended(folder).exit_code == 5
    assert inspect_run(folder.path).state is RunCondition.INTERRUPTED


def test_it_survives_its_terminal(folder):
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where these tests run under nohup, it is inherited
        command = [sys.executable, "-c", LAUNCH_AND_WAIT, str(folder.path)]
        os.execv(sys.executable, [*command, json.dumps(pretend_training(folder))])
    wait_until(lambda: os.read(terminal, 1000))
    wait_until(lambda: read_launch(folder) and read_launch(folder).process)
    os.close(terminal)  # the kernel sends SIGHUP to the session of the terminal
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    launch = read_launch(folder)
    assert os.getsid(launch.process.pid) == os.getsid(launch.supervisor.pid) != pid
    for process in (launch.process, launch.supervisor):
        os.kill(process.pid, signal.SIGHUP)
    assert _trains_on(folder)


def test_the_supervisor_heeds_no_signal_and_passes_none_on(folder):
    launch = start_detached(folder, pretend_training(folder))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(launch.supervisor.pid, number)
    assert _trains_on(folder)
    assert launch.supervisor.alive
    os.kill(launch.process.pid, signal.SIGTERM)
    assert _ended(folder).exit_code == 5
    assert "stopped by SIGTERM" in inspect_run(folder.path).message


def test_without_its_supervisor_the_training_goes_on_and_keeps_its_directory(folder):
    launch = start_detached(folder, pretend_training(folder))
    assert _trains_on(folder)
    os.kill(launch.supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not launch.supervisor.alive)
    assert _trains_on(folder)
    assert inspect_run(folder.path).state is RunCondition.RUNNING
    with pytest.raises(RunHeldError, match=f"process {launch.process.pid}"):
        start_detached(folder, pretend_training(folder))

    os.kill(launch.process.pid, signal.SIGKILL)
    wait_until(lambda: not launch.process.alive)
    report = inspect_run(folder.path)
    assert (report.state, report.cause) == (RunCondition.DEAD, Cause.GONE)
    assert start_detached(folder, _starts("pass")).id != launch.id


@pytest.mark.parametrize("code", [0, 1, 4])
def test_the_exit_code_is_recorded(folder, code):
    launch = start_detached(folder, _starts(f"import sys; print('hello'); sys.exit({code})"))
    ended = _ended(folder)
    assert (ended.id, ended.exit_code, ended.signal) == (launch.id, code, None)
    assert ended.started <= ended.ended <= time.time()
    assert ended.peak_memory_mb > 1
    assert (folder.path / ended.console).read_text() == "hello\n"
    expected = {0: RunCondition.FINISHED, 1: RunCondition.FAILED, 4: RunCondition.DIVERGED}
    assert inspect_run(folder.path).state is expected[code]
    wait_until(lambda: not folder.lock.exists())


def test_sigkill_is_recorded_and_named(folder):
    launch = start_detached(folder, pretend_training(folder))
    assert _trains_on(folder)
    os.kill(launch.process.pid, signal.SIGKILL)
    ended = _ended(folder)
    assert (ended.exit_code, ended.signal) == (None, "SIGKILL")
    report = inspect_run(folder.path)
    assert report.status.state is RunState.TRAINING  # it could not say otherwise
    assert (report.state, report.cause, report.signal) == (RunCondition.DEAD, Cause.SIGNAL, "SIGKILL")
    assert "killed by SIGKILL, by a user or a scheduler" in report.message


@pytest.mark.parametrize("kills", [OomKills(cgroup=1, host=1), OomKills(cgroup=0, host=1)])
def test_lack_of_host_memory_is_named(folder, monkeypatch, kills):
    counts = iter([OomKills(0, 0), kills])
    monkeypatch.setattr(supervisor, "count_oom_kills", lambda: next(counts))
    monkeypatch.setattr(supervisor, "_outlive", lambda: None)
    suicide = _starts("import os; os.kill(os.getpid(), 9)")
    supervisor._Supervised(folder, suicide).wait()
    report = inspect_run(folder.path)
    assert (report.state, report.cause) == (RunCondition.DEAD, Cause.HOST_MEMORY)
    assert "host memory ran out" in report.message
    assert ("memory limit of this container" in report.message) == bool(kills.cgroup)


def test_the_kernel_counters_are_found(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    assert count_oom_kills(tmp_path) == OomKills(None, 7)
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    (tmp_path / "sys/fs/cgroup/job").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/job/memory.events").write_text("oom 3\noom_kill 2\noom_group_kill 0\n")
    assert count_oom_kills(tmp_path) == OomKills(2, 7)
    (tmp_path / "proc/self/cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    (tmp_path / "sys/fs/cgroup/memory").mkdir()
    (tmp_path / "sys/fs/cgroup/memory/memory.oom_control").write_text("under_oom 0\noom_kill 5\n")
    assert count_oom_kills(tmp_path) == OomKills(5, 7)
    assert OomKills(5, None).since(OomKills(2, 7)) == OomKills(3, None)


def test_it_reads_nothing_and_heeds_sigint(folder):
    code = (
        "import signal, sys; print(repr(sys.stdin.read()), signal.getsignal(2) is signal.default_int_handler)"
    )
    start_detached(folder, _starts(code))
    assert (folder.path / _ended(folder).console).read_text() == "'' True\n"


def test_a_second_launch_touches_nothing(folder):
    launch = start_detached(folder, _starts("import time; time.sleep(60)"))
    before = contents(folder.path)
    with pytest.raises(RunHeldError, match=f"process {launch.process.pid}"):
        start_detached(folder, _starts("pass"))
    assert contents(folder.path) == before
    owner = folder.lock.read_text()
    answer = python(
        "import sys\nfrom diffbev_engine.runs.supervisor import main\nmain(sys.argv[1:])",
        *(folder.path, 1, sys.executable, "-c", "pass"),
    )  # past the launcher's own look: two launchers at once
    assert "under way" in json.loads(answer.communicate(timeout=PATIENCE_S)[0])["error"]
    assert folder.lock.read_text() == owner
    assert contents(folder.path) == before


def test_a_program_that_cannot_start_is_said_at_once(folder):
    with pytest.raises(DiffBEVError, match="cannot start no-such-program: No such file"):
        start_detached(folder, ["no-such-program"])
    assert inspect_run(folder.path).state is RunCondition.FAILED
    assert not folder.lock.exists()


def test_the_command_says_what_was_asked(tmp_path):
    arguments = TrainingArguments("c.py", tmp_path, (0, 1), ("a=1",), "latest", processes=2)
    command = arguments.command()
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert command[-7:] == ["--work-dir", str(tmp_path), "--gpu-ids", "0,1", "--set", "a=1", "--resume"]
    assert TrainingArguments("c", tmp_path, resume="x.pth").command()[-2:] == ["--resume", "x.pth"]
