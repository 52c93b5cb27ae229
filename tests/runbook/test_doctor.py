"""A failure is named: the six known problems, and what was learnt since."""

import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.gpu import GpuReading, Trouble
from diffbev_engine.runbook import signs
from diffbev_engine.runbook.case import Case, case_of
from diffbev_engine.runbook.consult import consult
from diffbev_engine.runbook.doctor import diagnose
from diffbev_engine.runbook.finding import Certainty
from diffbev_engine.runbook.load import packaged_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.metrics import MetricsWriter
from tests.processes import engine

RUNBOOK = packaged_runbook()
LOGS = {
    "1": "error: out of GPU memory: CUDA out of memory. Tried to allocate 26.00 MiB (GPU 0; …)",
    "2": "python: can't open file '/ws/tools/train.py': [Errno 2] No such file or directory",
    "3": "error: no folder /data/nuScenes/img_dir/train: /data/nuScenes/img_dir does not exist.",
    "4": "error: no metrics.csv in runs/baseline. Training writes it as it starts",
    "5": "error: best.pth is a checkpoint of another architecture: 3 of 100 tensors differ",
    "data-root-case": "error: no folder /d/nuscenes/img_dir: /d/nuscenes does not exist. Did you mean /d/nu?",
    "depth-missing": "error: 34 of 34 samples have no depth ground truth, the first is x.npz.",
    "checkpoint-missing": "error: no checkpoint runs/baseline/best_mIoU.pth. Name an existing iter_<n>.pth",
    "metrics-damaged": "error: runs/a/metrics.csv is damaged: no line of it is a header",
    "no-gpu": "RuntimeError: Found no NVIDIA driver on your system.",
    "cuda-mismatch": "The NVIDIA driver on your system is too old (found version 11040).",
    "host-memory": "RuntimeError: DataLoader worker (pid 12) is killed by signal: Killed.",
    "disk-full": "error: cannot write checkpoint x: [Errno 28] No space left on device",
    "diverged": "error: training diverged at step 270: Lwce is NaN or infinite.",
    "loader-crash": "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.",
    "held": "error: runs/a belongs to a training that is under way: process 4 of me on host",
}
FAILING_CODES = {"1": 3, "diverged": 4, "host-memory": 137}


@pytest.fixture(autouse=True)
def _a_gpu(monkeypatch):
    monkeypatch.setattr(signs, "read_gpus", GpuReading)


def _first(case: Case) -> str | None:
    found = [one for one in diagnose(RUNBOOK, case) if one.certainty > Certainty.CIRCUMSTANCE]
    return found[0].problem.id if found else None


@pytest.mark.parametrize("name", LOGS)
def test_a_log_names_its_problem(name, tmp_path):
    log = tmp_path / "train.log"
    noise = "2026-11-22 12:00:00 I iter 50/300 loss 0.4 Lwce 0.4 lr 1e-4 grad 3\n" * 20
    log.write_text(noise + "Traceback (most recent call last):\n" + LOGS[name] + "\n")
    finding = diagnose(RUNBOOK, case_of(log, None))[0]
    assert finding.problem.id == name
    assert finding.certainty is Certainty.SHOWN
    assert any("log line 22" in text.en for text in finding.evidence)


@pytest.mark.parametrize(("name", "code"), FAILING_CODES.items())
def test_an_exit_code_names_its_problem(name, code):
    assert _first(Case(None, exit_code=code)) == name


def test_a_healthy_log_has_no_problem(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(
        "CPU, 2 threads (no GPU found)\niter 50/300 loss 0.41 Lwce 0.4\nfinished after 300 iterations\n"
    )
    assert _first(case_of(log, None)) is None


@pytest.mark.parametrize(("state", "name"), [("oom", "1"), ("diverged", "diverged")])
def test_the_state_of_a_run_names_its_problem(state, name, tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": state, "message": "as it says"}))
    finding = diagnose(RUNBOOK, case_of(tmp_path, None))[0]
    assert finding.problem.id == name
    assert "as it says" in finding.evidence[-1].en


def test_a_run_that_vanished_was_killed(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": "training"}))
    gone = {"pid": 2**22 - 3, "pid_started": 1.0, "host": socket.gethostname()}
    (tmp_path / "run.json").write_text(json.dumps(gone))
    assert _first(case_of(tmp_path, None)) == "host-memory"
    (tmp_path / "run.json").write_text(json.dumps({**gone, "pid": os.getpid(), "pid_started": None}))
    assert _first(case_of(tmp_path, None)) is None


@pytest.mark.parametrize(
    ("column", "value", "name"), [("mIoU", 0.0461, "6"), ("loss", float("nan"), "diverged")]
)
def test_metrics_name_their_problem(column, value, name, tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.csv")
    for step in (100, 200, 300):
        mode = "eval" if column == "mIoU" else "train"
        writer.write({"step": step, "mode": mode, column: value})
    writer.close()
    assert _first(case_of(tmp_path, None)) == name


def _broken(roots: WorkspacePaths, name: str) -> tuple[str, dict[str, str]]:
    """Break the workspace; give the step that meets it."""
    ws, data = roots.workspace, roots.nuscenes_root
    for run in ("baseline", "diffbev_default"):
        (ws / "runs" / run).mkdir(parents=True)
    if name == "data-root-case":
        data.rename(data.with_name("nuscenes"))
        return "1.1", {}
    if name == "depth-missing":
        (data / "img_dir").mkdir()
        return "1.3", {}
    if name == "checkpoint-missing":
        return "6.2", {}
    if name == "metrics-damaged":
        (ws / "runs/baseline/metrics.csv").write_bytes(b"\x00\x01garbage\nmore garbage\n")
        return "3.5", {}
    programs = ws.parent / "bin"
    programs.mkdir()
    (programs / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not'\nexit 9\n"
    )
    (programs / "nvidia-smi").chmod(0o755)
    return "1.6", {"PATH": f"{programs}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "name", ["data-root-case", "depth-missing", "checkpoint-missing", "metrics-damaged", "no-gpu"]
)
def test_running_a_broken_workspace_names_the_problem(name, roots, monkeypatch):
    step, environment = _broken(roots, name)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    process = engine("runbook", "run", roots.workspace, "--step", step, "--anyway", "--json")
    output = process.communicate(timeout=60)[0]
    answer = json.loads(output[output.index('{\n "workspace"') :])
    assert process.returncode == 1
    assert (answer["failed"], answer["problem"]) == (step, name)
    assert answer["findings"][0]["evidence"][0]["zh"]
    asked = consult(roots.workspace)
    assert asked.findings[0].problem.id == name


def test_the_machine_is_no_cause_where_the_log_shows_another(monkeypatch, tmp_path):
    none = GpuReading(trouble=Trouble.NO_LIBRARY, problem=Bilingual("没有驱动", "no driver"))
    monkeypatch.setattr(signs, "read_gpus", lambda: none)
    log = tmp_path / "train.log"
    log.write_text(LOGS["disk-full"])
    found = diagnose(RUNBOOK, case_of(log, None))
    assert [finding.problem.id for finding in found] == ["disk-full", "no-gpu"]
    assert found[1].certainty is Certainty.CIRCUMSTANCE


def test_the_message_of_a_run_without_a_log_is_read(tmp_path):
    message = "out of GPU memory: Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"
    (tmp_path / "status.json").write_text(json.dumps({"state": "oom", "message": message}))
    assert diagnose(RUNBOOK, case_of(tmp_path, None))[0].oom.requested == 2048


def test_remedies_of_gpu_memory_follow_its_cause():
    fragmented = (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 10.00 GiB of which "
        "1.00 MiB is free. Of the allocated memory 6.00 GiB is allocated by PyTorch, and 3.00 GiB is "
        "reserved by PyTorch but unallocated."
    )
    finding = diagnose(RUNBOOK, replace(Case(None), log=fragmented))[0]
    assert finding.oom.fragmented
    assert "expandable_segments" in finding.remedies()[0].text.en


def test_doctor_on_the_command_line(tmp_path: Path):
    (tmp_path / "train.log").write_text(LOGS["diverged"])
    process = engine("runbook", "doctor", tmp_path / "train.log", "--lang", "zh")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "训练发散" in output
    assert "Lwce is NaN" in output


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has nvidia-smi")
def test_only_a_demo_goes_on_without_a_gpu(roots):
    def run() -> dict[str, object]:
        process = engine("runbook", "run", roots.workspace, "--step", "1.6", "--anyway", "--json")
        output = process.communicate(timeout=60)[0]
        answer: dict[str, object] = json.loads(output[output.index('{\n "workspace"') :])
        return answer

    assert run()["exit_code"] == 0
    file = roots.workspace / "workspace.toml"
    file.write_text(file.read_text().replace("demo = true", "demo = false"))
    answer = run()
    assert (answer["exit_code"], answer["failed"], answer["problem"]) == (1, "1.6", "no-gpu")
