"""Steps run in order, stop at a failure, resume, go stale, and leave evidence."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.runner import Reporter, Selection, exit_code_of, run_steps, settle, skip_step
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from tests.processes import PATIENCE_S, engine, wait_until

THREE = """
[[phase.step]]
id = "9.1"
title = "one"
run = "echo one >> order; echo made > made.txt"
outputs = ["made.txt"]

[[phase.step]]
id = "9.2"
title = "two"
after = ["9.1"]
run = "echo two >> order; cat config.py"
inputs = ["config.py"]
checks = [{ type = "output_contains", texts = ["max_iters"] }]

[[phase.step]]
id = "9.3"
title = "three"
after = ["9.2"]
run = "echo three >> order"
"""


def _run(roots: WorkspacePaths, **selection: object) -> list[tuple[str, str]]:
    selection.setdefault("phase", "9")
    ran = run_steps(load_runbook(roots), roots, Selection(**selection), Reporter())
    return [(one.step.id, one.record.state.value) for one in ran]


def _states(roots: WorkspacePaths) -> dict[str, str]:
    view = view_runbook(load_runbook(roots), StateStore(roots).read(), roots)
    return {one.step.id: one.state.value for one in view.of_phase(view.runbook.phase("9"))}


def test_stops_at_the_failure_and_goes_on_from_there(with_steps):
    roots = with_steps(THREE)
    assert _run(roots) == [("9.1", "passed"), ("9.2", "failed")]
    assert _states(roots) == {"9.1": "passed", "9.2": "failed", "9.3": "pending"}
    (roots.workspace / "config.py").write_text("max_iters=300\n")
    assert _run(roots, start="9.2") == [("9.2", "passed"), ("9.3", "passed")]
    assert (roots.workspace / "order").read_text().split() == ["one", "two", "two", "three"]
    assert _run(roots) == []
    assert len(_run(roots, again=True)) == 3


def test_evidence_survives_in_the_workspace(with_steps):
    roots = with_steps(THREE)
    _run(roots)
    record = StateStore(roots).read()["9.2"]
    assert record.exit_code == 1
    assert record.seconds is not None
    assert "config.py" in record.lines[-1]
    assert not record.checks[0].passed
    assert "max_iters" in record.reason.en
    assert record.command == "echo two >> order; cat config.py"
    assert "No such file" in (roots.workspace / record.log).read_text()
    stored = json.loads((roots.workspace / ".diffbev/runbook_state.json").read_text())
    assert stored["steps"]["9.2"]["state"] == "failed"


def test_changed_inputs_make_stale_and_so_do_their_dependents(with_steps):
    roots = with_steps(THREE)
    (roots.workspace / "config.py").write_text("max_iters=300\n")
    _run(roots)
    os.utime(roots.workspace / "config.py")  # touched, not changed
    assert set(_states(roots).values()) == {"passed"}
    (roots.workspace / "config.py").write_text("max_iters=301\n")
    assert _states(roots) == {"9.1": "passed", "9.2": "stale", "9.3": "stale"}
    assert _run(roots) == [("9.2", "passed"), ("9.3", "passed")]


def test_a_training_is_not_stale_because_a_check_before_it_should_be_repeated(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "cat config.py"\ninputs = ["config.py"]\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nrun = "true"\nafter = ["9.1"]\nrun_dir = "runs/a"\n'
    )
    (roots.workspace / "config.py").write_text("max_iters=300\n")
    _run(roots)
    (roots.workspace / "config.py").write_text("max_iters=301\n")
    assert _states(roots) == {"9.1": "stale", "9.2": "passed"}


def test_what_was_made_again_or_is_gone_makes_stale(with_steps):
    roots = with_steps(THREE)
    (roots.workspace / "config.py").write_text("max_iters=300\n")
    _run(roots)
    (roots.workspace / "made.txt").write_text("made otherwise\n")
    assert _states(roots)["9.2"] == "stale"
    (roots.workspace / "made.txt").unlink()
    assert _states(roots)["9.1"] == "stale"


def test_a_step_says_what_it_waits_for(with_steps):
    roots = with_steps(THREE)
    with pytest.raises(DiffBEVError, match=r"9\.3 depends on 9\.2 \(pending\)"):
        _run(roots, steps=("9.3",))
    assert _run(roots, steps=("9.3",), anyway=True) == [("9.3", "passed")]


def test_a_skipped_step_is_left_out_with_its_reason(with_steps):
    roots = with_steps(THREE)
    skip_step(load_runbook(roots), roots, "9.2", "done elsewhere")
    assert _run(roots) == [("9.1", "passed"), ("9.3", "passed")]
    assert StateStore(roots).read()["9.2"].reason.en == "done elsewhere"


def test_results_that_are_there_can_be_adopted(with_steps):
    checks = 'checks = [{ type = "path_exists", path = "made.txt" }]\n'
    roots = with_steps(THREE.replace('outputs = ["made.txt"]\n', 'outputs = ["made.txt"]\n' + checks))
    (roots.workspace / "made.txt").write_text("long ago\n")
    assert _run(roots, adopt=True)[0] == ("9.1", "passed")
    assert StateStore(roots).read()["9.1"].adopted
    assert (roots.workspace / "made.txt").read_text() == "long ago\n"


def test_a_failing_pipe_is_a_failure_and_head_is_not(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "yes | head -1"\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nrun = "(echo a; exit 4) | tee log"\n'
    )
    assert _run(roots) == [("9.1", "passed"), ("9.2", "failed")]
    record = StateStore(roots).read()["9.2"]
    assert (record.exit_code, record.problem) == (4, "diverged")


def test_what_a_step_leaves_in_the_shell_carries_over(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\ncarries_over = true\nrun = "export ANSWER=42"\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nrun = "echo answer=$ANSWER; cd /"\n'
        'checks = [{ type = "output_contains", texts = ["answer=42"] }]\n'
        '[[phase.step]]\nid = "9.3"\ntitle = "t"\nrun = "pwd"\n'
        'checks = [{ type = "output_contains", texts = ["{workspace}"] }]\n'
    )
    assert [state for _, state in _run(roots)] == ["passed"] * 3


def test_the_equivalent_stands_in_where_no_command_is_available(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\nchoose = "first_available"\n'
        '[[phase.step.command]]\nrun = "no-such-program"\navailable = "command -v no-such-program"\n'
        '[phase.step.equivalent]\nrun = "echo instead"\nreason = "not here"\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nafter = ["9.1"]\nrun = "true"\n'
    )
    assert _run(roots) == [("9.1", "skipped"), ("9.2", "passed")]
    record = StateStore(roots).read()["9.1"]
    assert (record.reason.en, record.lines) == ("not here", ("instead",))


DEFERRED = """
[[phase.step]]
id = "9.1"
title = "look"
deferred_until = "9.2"
run = "ls made.txt"

[[phase.step]]
id = "9.2"
title = "make"
run = "touch made.txt"
"""


@pytest.mark.parametrize("key", ["deferred_until", "put_off_until"])  # the second: of older files
def test_a_step_can_be_deferred_until_another_has_run(with_steps, key):
    roots = with_steps(DEFERRED.replace("deferred_until", key))
    assert _run(roots) == [("9.1", "skipped"), ("9.2", "passed"), ("9.1", "passed")]
    (roots.workspace / "made.txt").unlink()
    assert _run(roots, steps=("9.1",)) == [("9.1", "failed")]


def test_a_deferred_step_in_a_state_file_of_an_older_version_is_deferred_still(with_steps):
    roots = with_steps(DEFERRED)
    store = StateStore(roots)
    store.path.parent.mkdir(exist_ok=True)
    store.path.write_text(json.dumps({"version": 1, "steps": {"9.1": {"state": "skipped", "put_off": True}}}))
    assert store.read()["9.1"].deferred
    assert _run(roots) == [("9.2", "passed"), ("9.1", "passed")], "checked once there is what it looks for"
    written = json.loads(store.path.read_text())["steps"]["9.1"]
    assert (written["deferred"], written["put_off"]) == (False, False)


def test_what_is_left_out_is_said(with_steps):
    roots = with_steps(
        "".join(f'[[phase.step]]\nid = "9.{n}"\ntitle = "t"\nrun = "true"\n' for n in (1, 2, 3))
    )

    def last_line(*options: str) -> str:
        process = engine("runbook", "run", roots.workspace, "--phase", "9", "--lang", "en", *options)
        return process.communicate(timeout=PATIENCE_S)[0].splitlines()[-1]

    assert "9.3 passed" in last_line()
    assert (
        last_line("--from", "9.2")
        == "1 more steps had already passed and were skipped. Use --again to rerun them."
    )
    assert last_line() == "All selected steps have already passed. Use --again to rerun them."
    assert "9.3 passed" in last_line("--from", "9.2", "--again")


def test_two_processes_lose_none_of_each_others_records(with_steps):
    steps = "".join(f'[[phase.step]]\nid = "9.{n}"\ntitle = "t"\nrun = "true"\n' for n in range(1, 9))
    roots = with_steps(steps)
    halves = [[f"--step=9.{n}" for n in range(start, 9, 2)] for start in (1, 2)]
    started = [engine("runbook", "run", roots.workspace, *half) for half in halves]
    assert [process.wait(PATIENCE_S) for process in started] == [0, 0]
    assert set(_states(roots).values()) == {"passed"}


def test_a_step_that_runs_is_not_started_twice(with_steps):
    roots = with_steps('[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "touch began; sleep 30"\n')
    first = engine("runbook", "run", roots.workspace, "--phase", "9")
    wait_until((roots.workspace / "began").exists)
    assert _states(roots) == {"9.1": "running"}
    second = engine("runbook", "run", roots.workspace, "--step", "9.1")
    assert "is already running" in second.communicate(timeout=PATIENCE_S)[0]
    first.send_signal(signal.SIGINT)
    assert first.wait(PATIENCE_S) == 5


TRAINING = """
import signal, sys, time
def save(number, frame):
    print("checkpoint saved", flush=True)
    sys.exit(5)
signal.signal(signal.SIGINT, save)
print("training", flush=True)
open("began", "w").close()
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_a_training_save_and_records_it(number, with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\n'
        'run = "python train.py 2>&1 | tee train.log\\necho not reached > after"\n'
        '[[phase.step]]\nid = "9.2"\ntitle = "t"\nrun = "true"\n'
    )
    (roots.workspace / "train.py").write_text(TRAINING)
    process = engine("runbook", "run", roots.workspace, "--phase", "9")
    wait_until((roots.workspace / "began").exists)
    process.send_signal(number)
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 5, output
    assert "checkpoint saved" in (roots.workspace / "train.log").read_text()
    assert not (roots.workspace / "after").exists()
    record = StateStore(roots).read()["9.1"]
    assert (record.state, record.interrupted, record.exit_code) == (StepState.FAILED, True, 5)
    assert _states(roots)["9.2"] == "pending"


def test_a_training_that_was_stopped_from_elsewhere_is_interrupted_not_failed(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun_dir = "runs/a"\nrun = "exit 5"\nresume = "true"\n'
    )
    process = engine("runbook", "run", roots.workspace, "--phase", "9", "--json")
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 5, output
    assert '"problem": null' in output
    record = StateStore(roots).read()["9.1"]
    assert (record.interrupted, record.exit_code, record.problem) == (True, 5, None)


def test_a_training_that_was_cut_short_goes_on(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun_dir = "runs/a"\nrun = "echo begun; exit 1"\n'
        'resume = "echo resumed >> resumed"\n'
    )
    latest = roots.workspace / "runs/a/latest.pth"
    assert _run(roots) == [("9.1", "failed")]
    assert _run(roots) == [("9.1", "failed")]  # no checkpoint yet
    latest.parent.mkdir(parents=True)
    latest.touch()
    assert _run(roots, again=True) == [("9.1", "failed")]
    StateStore(roots).change("9.1", lambda old: replace(old, seconds=3600.0))
    assert _run(roots) == [("9.1", "passed")]
    assert (roots.workspace / "resumed").read_text() == "resumed\n"
    assert 3600 < StateStore(roots).read()["9.1"].seconds < 3660, "of both starts"


def test_a_step_outlives_its_runner_and_is_judged_later(with_steps):
    roots = with_steps(
        '[[phase.step]]\nid = "9.1"\ntitle = "t"\n'
        'run = "touch began; until [ -e go ]; do sleep 0.05; done; echo finished"\n'
        'checks = [{ type = "output_contains", texts = ["finished"] }]\n'
    )
    process = engine("runbook", "run", roots.workspace, "--phase", "9")
    wait_until((roots.workspace / "began").exists)
    wait_until(lambda: StateStore(roots).read()["9.1"].process is not None)
    process.kill()
    process.wait()
    assert _states(roots) == {"9.1": "running"}
    (roots.workspace / "go").touch()
    wait_until(lambda: _states(roots) == {"9.1": "failed"})  # nobody has judged it yet
    settle(load_runbook(roots), roots, StateStore(roots))
    assert _states(roots) == {"9.1": "passed"}
    assert StateStore(roots).read()["9.1"].seconds > 0


def test_the_exit_code_is_that_of_the_training(with_steps):
    roots = with_steps('[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "exit 3"\n')
    ran = run_steps(load_runbook(roots), roots, Selection("9"), Reporter())
    assert exit_code_of(ran) == 3
    assert ran[0].findings[0].id == "1"


def test_damaged_state_says_what_to_do(roots):
    store = StateStore(roots)
    store.reset("0.1")
    store.path.write_text("{")
    with pytest.raises(DiffBEVError, match="--adopt"):
        store.read()


def test_check_changes_nothing(with_steps):
    roots = with_steps(THREE)
    before = _tree(roots.workspace)
    command = [sys.executable, "-m", "diffbev_engine", "runbook", "check", str(roots.workspace), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    by_id = {step["id"]: step["passed"] for step in answer["steps"]}
    assert by_id["1.1"] is None
    assert by_id["1.2"] is False
    assert _tree(roots.workspace) == before


def _tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
