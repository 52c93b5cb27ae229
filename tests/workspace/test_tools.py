"""The entry points of a workspace: arguments, phrases, exit codes and signals."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diffbev_engine.cli import tools
from diffbev_engine.workspace.init import init_workspace
from tests.processes import PATIENCE_S, wait_until
from tests.workspace.small import SMALL_BASELINE

CONFIG = "configs/baseline/lss_swin_nuscenes.py"


@pytest.fixture
def root(tmp_path: Path, tiny_root: Path) -> Path:
    init_workspace(tmp_path / "ws", tiny_root, demo=True)
    with (tmp_path / "ws" / CONFIG).open("a") as file:
        file.write(f"load_from = None\n{SMALL_BASELINE}")
    return tmp_path / "ws"


def _start(root: Path, *command: str, **variables: str) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command,
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **variables},
    )


def _run(root: Path, *command: str, **variables: str) -> tuple[str, int]:
    process = _start(root, *command, **variables)
    return process.communicate(timeout=PATIENCE_S)[0], process.returncode


@pytest.fixture
def echo(tmp_path: Path) -> str:
    """Stands for Python and shows how it is called."""
    path = tmp_path / "echo.sh"
    path.write_text('#!/bin/sh\nprintf "[%s]" "$@"\nexit 4\n')
    path.chmod(0o755)
    return str(path)


def test_scripts_pass_their_variables_on_and_the_exit_code_back(root, echo):
    script = "scripts/training/run_diffbev_nuscenes.sh"
    output, code = _run(root.parent, "bash", f"ws/{script}", "--resume", PYTHON=echo)
    config = "configs/diffbev/diffbev_lss_swin_nuscenes.py"
    assert code == 4
    assert f"[tools/train.py][{config}][--work-dir][runs/diffbev_default][--gpu-ids][0][--resume]" in output
    output, _ = _run(root, "bash", script, PYTHON=echo, GPU_IDS="2", WORK_DIR="runs/my run", CONFIG="c.py")
    assert "[tools/train.py][c.py][--work-dir][runs/my run][--gpu-ids][2]" in output
    assert "runs/my run" in output.split("[")[0]


def test_no_python_is_one_message(root):
    script = "scripts/training/run_baseline_nuscenes.sh"
    output, code = _run(root, "bash", script, PYTHON="no-such-python")
    assert code == 2
    assert "no-such-python" in output


def test_a_python_without_the_package_is_one_message(root):
    output, code = _run(root, sys.executable, "-I", "-S", "tools/train.py")
    assert code == 2
    assert "activate" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "tool",
    [
        "train.py",
        "plot_metrics.py",
        "vis_nuscenes_bev.py",
        "data/prepare_nuscenes_depth_gt.py",
        "debug/check_depth_gt.py",
    ],
)
def test_tools_explain_themselves(root, tool):
    output, code = _run(root, sys.executable, f"tools/{tool}", "--help")
    assert code == 0
    assert "Usage: diffbev-engine" in output
    assert "✓" not in output


def test_errors_of_the_command_pass_through(root):
    output, code = _run(root, sys.executable, "tools/train.py", "configs/none.py", "--work-dir", "runs/x")
    assert code == 2
    assert "configs/none.py: no such file" in output
    assert "训练完成" not in output
    output, code = _run(root, sys.executable, "tools/debug/check_depth_gt.py", f"--config={CONFIG}")
    assert code == 1
    assert "load_depth" in output


@pytest.mark.slow
def test_a_full_workspace_says_when_depth_will_not_fit(tmp_path, tiny_root):
    init_workspace(tmp_path / "full", tiny_root)
    arguments = ["--nuscenes-root", str(tiny_root), "--height", "300", "--width", "400"]
    tool = "tools/data/prepare_nuscenes_depth_gt.py"
    output, _ = _run(tmp_path / "full", sys.executable, tool, *arguments)
    assert "Use --height 600 --width 800" in output


@pytest.mark.slow
def test_a_signal_to_the_script_reaches_the_training(root):
    with (root / CONFIG).open("a") as file:
        file.write("runner = dict(max_iters=5000)\n")
    process = _start(root, "bash", "scripts/training/run_baseline_nuscenes.sh", DIFFBEV_ALLOW_PYTORCH2="1")
    metrics = root / "runs/baseline/metrics.csv"
    wait_until(lambda: metrics.exists() and "10," in _metrics(root), process)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 5, output
    assert "--resume" in output
    assert "训练完成" not in output
    assert re.search(r"iter 10/5000 .*loss", output)
    assert (root / "runs/baseline/latest.pth").exists()


def _metrics(root: Path) -> str:
    return "\n".join((root / "runs/baseline/metrics.csv").read_text().splitlines()[1:])


def test_the_runbook_runs_on_mini_and_on_a_separate_data_root(tmp_path, capsys):
    nuscenes, data = tmp_path / "nuScenes", tmp_path / "data"
    (nuscenes / "v1.0-mini").mkdir(parents=True)
    (nuscenes / "v1.0-mini" / "sample_data.json").write_text("[]")
    init_workspace(tmp_path / "ws", nuscenes, data_root=data)
    arguments = ["--nuscenes-root", str(nuscenes), "--version", "v1.0-trainval", "--split", "train"]
    arguments += ["--output-dir", f"{nuscenes}/ann_bev_dir", "--img-dir", f"{nuscenes}/img_dir/train"]
    script = tmp_path / "ws" / "tools" / "data" / "prepare_nuscenes_depth_gt.py"
    changed = tools._depth_of_the_workspace(script, arguments)[len(arguments) :]
    assert changed == [
        *("--version", "v1.0-mini"),
        *("--output-dir", f"{data}/ann_bev_dir", "--img-dir", f"{data}/img_dir/train"),
    ]
    assert "workspace uses v1.0-mini instead of v1.0-trainval" in capsys.readouterr().out
    (nuscenes / "v1.0-trainval").mkdir()
    (nuscenes / "v1.0-trainval" / "sample_data.json").write_text("[]")
    assert "--version" not in tools._depth_of_the_workspace(script, arguments)[len(arguments) :]
    (data / "prepare.json").write_text('{"version": "v1.0-mini"}')
    assert "v1.0-mini" in tools._depth_of_the_workspace(script, arguments)
