"""The demo is the whole runbook: from nothing to its report, then every block as its author wrote it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.processes import PATIENCE_S, engine
from tests.workspace.criteria import CRITERIA, MAY_FAIL, Result
from tests.workspace.runbook_text import Step, read_runbook
from tests.workspace.small import SMALL_DIFFBEV, SMALL_ENGINE, shrink

OF_THE_DEMO = {"2.1", "2.2", "2.4", "3.2", "4.0", "4.1.1", "4.2", "5.2", "6.3"}
"""Steps that change something or take long: what the demo left of them is checked, they do not run again."""

# What cannot be had on every machine: (the program it needs, the equivalent that is run instead).
EQUIVALENTS = {
    # The environment is the one of this Python, whatever made it (conda, micromamba, venv, pip).
    "0.2": (None, "python -c 'import diffbev_engine'"),
    "1.6": ("nvidia-smi", "python -c 'import torch; print(torch.cuda.device_count())'"),
    "问题1": ("nvidia-smi", "python -c 'import torch; print(torch.cuda.device_count())'"),
}


class Shell:
    """One interactive session: folder and variables last from block to block."""

    def __init__(self, folder: Path) -> None:
        self._state, self._script = folder / "state.sh", folder / "block.sh"
        self._state.write_text(f"cd {folder}\n")

    def run(self, block: str) -> tuple[str, int]:
        # As a person sees it: the exit code of `python … | tee` is Python's.
        self._script.write_text(
            f"set -o pipefail\nsource '{self._state}'\n{block}\ncode=$?\n"
            f"{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} > '{self._state}'\nexit $code\n"
        )
        done = subprocess.run(
            ["bash", str(self._script)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            timeout=1200,
            check=False,
        )
        return done.stdout, done.returncode


def _demo(out: Path, *options: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", SMALL_ENGINE, "demo", "--out", out, "--lang", "en", *options],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        timeout=1200,
        check=False,
    )
    return done.stdout, done.returncode


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow(200)
def test_the_demo_ends_with_its_report_and_every_block_of_the_runbook_holds_there(tmp_path):
    workspace, data = tmp_path / "demo/DiffBEV", tmp_path / "demo/nuScenes"
    _demo_stops_and_continues(tmp_path / "demo", workspace)
    steps = read_runbook(workspace, data)
    assert {step.name for step in steps if step.blocks} == set(CRITERIA), "a step without a check"
    shell, records = Shell(workspace.parent), _records(workspace)
    for step in steps:
        result = _of_the_demo(step, records, workspace, data)
        if result is None:
            result = _in_the_shell(step, shell, workspace, data)
        _holds(step, result)
    _init_keeps_what_the_user_wrote(workspace, data)


def test_the_runbook_is_read_completely(tmp_path):
    steps = read_runbook(tmp_path / "ws", tmp_path / "data")
    names = [step.name for step in steps]
    assert [name for name in names if name.startswith("问题")] == [f"问题{n}" for n in range(1, 7)]
    assert names[0] == "0.1"
    assert names[-1] == "最终输出检查清单"
    assert [len(step.blocks) for step in steps if step.name in ("0.2", "4.0", "问题6")] == [2, 2, 2]
    assert all(step.blocks for step in steps)
    assert all(step.criteria for step in steps if not step.name.startswith("问题"))
    assert not any("/media/" in block for step in steps for block in step.blocks)


def _demo_stops_and_continues(out: Path, workspace: Path) -> None:
    """A wrong configuration stops it; put right, it goes on there and repeats nothing."""
    output, code = _demo(out, "--setup-only")
    assert code == 0, output
    shrink(workspace)
    diffbev = workspace / "configs/diffbev/diffbev_lss_swin_nuscenes.py"
    right = diffbev.read_text() + SMALL_DIFFBEV
    diffbev.write_text(right + "no_such_key = 1\n")

    output, code = _demo(out)
    assert code == 1, output
    assert "the demo stopped at step 4.0" in output

    diffbev.write_text(right)
    output, code = _demo(out)
    assert code == 0, output
    ran = re.findall(r"^\[\d+/\d+\] (\S+)", output, re.MULTILINE)
    assert "3.2" not in ran, "the baseline was trained again"
    assert "4.2" in ran
    _leaves_everything(output, workspace)


def _leaves_everything(output: str, workspace: Path) -> None:
    scores = re.search(r"mIoU on the validation scene: baseline ([\d.]+), DiffBEV ([\d.]+)", output)
    assert scores, output
    report = re.search(r"report: (\S+)$", output.strip())
    assert report
    assert Path(report[1]).read_text(encoding="utf-8").count("<img") >= 7
    assert cv2.imread(str(workspace / "runs/vis_comparison/vis/sample_0000.png")) is not None
    states = {name: record["state"] for name, record in _records(workspace).items()}
    assert set(states.values()) <= {"passed", "skipped"}, states


def _records(workspace: Path) -> dict[str, dict]:
    return json.loads((workspace / ".diffbev/runbook_state.json").read_text())["steps"]


def _of_the_demo(step: Step, records: dict[str, dict], root: Path, data: Path) -> Result | None:
    """What the demo's own run of the step printed and returned, if that is not to be repeated."""
    if step.name not in OF_THE_DEMO:
        return None
    record = records[step.name]
    assert record["command"].split() == " ".join(step.blocks).split(), step.name
    output = (root / record["log"]).read_text(encoding="utf-8")
    return Result([output], [record["exit_code"]], root, data)


def _in_the_shell(step: Step, shell: Shell, root: Path, data: Path) -> Result | None:
    """What the blocks say, as a person would run them; ``None`` if only their equivalent can run here."""
    program, instead = EQUIVALENTS.get(step.name, ("bash", ""))
    if program is None or shutil.which(program) is None:
        output, code = shell.run(instead)
        assert code == 0, output
        return None
    results = [shell.run(block) for block in step.blocks]
    return Result([output for output, _ in results], [code for _, code in results], root, data)


def _holds(step: Step, result: Result | None) -> None:
    if result is None:
        return
    try:
        assert step.name in MAY_FAIL or set(result.codes) == {0}
        CRITERIA[step.name](result)
    except AssertionError as error:
        print(f"--- {step.name}\n{''.join(step.blocks)}\n--- exit codes {result.codes}\n{result.output}")
        error.args = (f"{step.name} ({'; '.join(step.criteria)}): {error}",)
        raise


def _init_keeps_what_the_user_wrote(workspace: Path, data: Path) -> None:
    changed = workspace / "configs/_base_/demo.py"
    before = changed.read_text()
    process = engine("init", workspace, "--nuscenes-root", data, "--demo")
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0, output
    assert "kept     configs/_base_/demo.py" in output
    assert changed.read_text() == before
    assert (workspace / "configs/baseline/lss_swin_nuscenes_smoke.py").exists()
