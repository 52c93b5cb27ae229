"""A failure is named: the six known problems, and what was learnt since."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import click
import pytest

from diffbev_engine.cli.main import cli
from diffbev_engine.core import patterns
from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.gpu.reading import GpuReading, Trouble
from diffbev_engine.findings import failure
from diffbev_engine.findings.catalogue import LogText
from diffbev_engine.findings.failure import FailureContext, context_of
from diffbev_engine.findings.finding import Certainty
from diffbev_engine.runbook.checks.check import Outcome
from diffbev_engine.runbook.doctor import consult, diagnose, find_problem
from diffbev_engine.runbook.load import packaged_runbook
from diffbev_engine.runbook.present import NO_ROOTS, filled
from diffbev_engine.runbook.record import StepRecord
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, write_launch
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.process import ProcessIdentity, identify
from tests.processes import PATIENCE_S, engine

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
FAILING_CODES = {"1": 3, "diverged": 4, "killed": 137, "native-crash": 139}


@pytest.fixture(autouse=True)
def _a_gpu(monkeypatch):
    monkeypatch.setattr(failure, "read_gpus", GpuReading)


def _first(context: FailureContext) -> str | None:
    found = [one for one in diagnose(RUNBOOK, context) if one.certainty is Certainty.SHOWN]
    return found[0].id if found else None


@pytest.mark.parametrize("name", LOGS)
def test_a_log_names_its_problem(name, tmp_path):
    log = tmp_path / "train.log"
    noise = "2026-11-22 12:00:00 I iter 50/300 loss 0.4 Lwce 0.4 lr 1e-4 grad 3\n" * 20
    log.write_text(noise + "Traceback (most recent call last):\n" + LOGS[name] + "\n")
    finding = diagnose(RUNBOOK, context_of(log))[0]
    assert finding.id == name
    assert finding.certainty is Certainty.SHOWN
    assert any("log line 22" in text.en for text in finding.evidence)


@pytest.mark.parametrize(("name", "code"), FAILING_CODES.items())
def test_an_exit_code_names_its_problem(name, code):
    assert _first(FailureContext(exit_code=code)) == name


def test_a_healthy_log_has_no_problem(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(
        "CPU, 2 threads (no GPU found)\niter 50/300 loss 0.41 Lwce 0.4\nfinished after 300 iterations\n"
    )
    assert _first(context_of(log)) is None


@pytest.mark.parametrize(("state", "name"), [("oom", "1"), ("diverged", "diverged")])
def test_the_state_of_a_run_names_its_problem(state, name, tmp_path):
    (tmp_path / "status.json").write_text(
        json.dumps({"state": state, "max_iters": 9, "message": "as it says"})
    )
    finding = diagnose(RUNBOOK, context_of(tmp_path))[0]
    assert finding.id == name
    assert "as it says" in finding.evidence[-1].en


def _run(folder: Path, process: ProcessIdentity, **launch: object) -> FailureContext:
    """A run that says it is training, whose process has ended."""
    (folder / "status.json").write_text(json.dumps({"state": "training", "max_iters": 9, "updated": 1e9}))
    (folder / "run.json").write_text(json.dumps({"process": asdict(process), "launch": "1"}))
    if launch:
        plain = {"command": (), "cwd": "/", "environment": {}, "console": "c.log", "started": 1e9}
        ended = Launch(id="1", supervisor=process, process=process, ended=2e9, **plain, **launch)  # type: ignore[arg-type]
        write_launch(RunFolder(folder), ended)
    return context_of(folder)


ENDED = replace(identify(), start=1.0)


def test_the_cause_of_death_needs_evidence(tmp_path):
    for how, name, possible in (
        ({}, "vanished", None),
        ({"signal": "SIGKILL"}, "killed", "host-memory"),
        ({"signal": "SIGKILL", "oom_kills_host": 0, "oom_kills_cgroup": 0}, "killed", None),
        ({"signal": "SIGKILL", "oom_kills_cgroup": 1, "message": "host memory ran out"}, "host-memory", None),
        ({"signal": "SIGTERM"}, "killed", None),
        ({"signal": "SIGSEGV"}, "native-crash", None),
        ({"signal": "SIGBUS"}, "native-crash", None),
    ):
        (tmp_path / "launch.json").unlink(missing_ok=True)
        found = diagnose(RUNBOOK, _run(tmp_path, ENDED, **how))
        assert [one.id for one in found if one.certainty is Certainty.SHOWN] == [name], how
        expected = [one.id for one in found if one.certainty is Certainty.EXPECTED]
        assert expected == ([possible] if possible else []), how
    (tmp_path / "launch.json").unlink()
    assert _first(_run(tmp_path, replace(ENDED, boot_id="an earlier boot"))) == "rebooted"
    assert _first(_run(tmp_path, identify())) is None, "it is still running"


def test_a_finished_run_is_healthy_whatever_its_log_warns_of(tmp_path):
    (tmp_path / "train_20260101_000000.log").write_text(
        "CUDA out of memory\nUserWarning: CUDNN_STATUS_ALLOC_FAILED\n"
    )
    status = {"state": "finished", "max_iters": 9, "step": 9}
    (tmp_path / "status.json").write_text(json.dumps(status))
    assert not [one for one in diagnose(RUNBOOK, context_of(tmp_path)) if one.id not in ("metrics-damaged",)]
    (tmp_path / "status.json").write_text(json.dumps({**status, "state": "oom"}))
    assert _first(context_of(tmp_path)) == "1"


def test_the_newest_start_decides(tmp_path):
    (tmp_path / "train_20260101_000000.log").write_text(LOGS["disk-full"])
    (tmp_path / "train_20260102_000000.log").write_text(LOGS["diverged"])
    found = [one.id for one in diagnose(RUNBOOK, context_of(tmp_path)) if one.certainty is Certainty.SHOWN]
    assert found == ["diverged"]


def test_a_wording_of_doubt_says_so():
    log = LogText("RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR")
    (finding,) = diagnose(RUNBOOK, FailureContext(logs=(log,)))
    assert (finding.id, finding.certainty) == ("1", Certainty.SHOWN)
    assert "not always" in finding.evidence[-1].en
    certain = diagnose(RUNBOOK, FailureContext(logs=(log, LogText("CUDA error: misaligned address"))))
    assert [one.id for one in certain] == ["gpu-fault", "1"]


def test_a_warning_alone_makes_a_problem_possible_only():
    log = LogText(
        "UserWarning: RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch"
    )
    (finding,) = diagnose(RUNBOOK, FailureContext(logs=(log,), exit_code=1))
    assert (finding.id, finding.certainty) == ("cuda-mismatch", Certainty.EXPECTED)


def test_what_a_step_usually_fails_of_is_no_match_without_evidence(roots):
    step = RUNBOOK.step("1.2")
    assert "data-root-case" in step.problems
    found = find_problem(RUNBOOK, step, roots, Outcome("", 1))
    assert [(one.id, one.certainty) for one in found][:1] == [("3", Certainty.SHOWN)]
    assert "data-root-case" not in {one.id for one in found}, "the data root exists as written"


def test_a_step_is_not_judged_by_an_earlier_run(roots):
    step = next(step for step in RUNBOOK.steps if step.run_dir)
    folder = roots.workspace / step.run_dir
    folder.mkdir(parents=True)
    _run(folder, ENDED, signal="SIGSEGV")
    later = StepRecord(started=3e9)
    assert "native-crash" in {one.id for one in find_problem(RUNBOOK, step, roots, Outcome("", 1))}
    assert "native-crash" not in {one.id for one in find_problem(RUNBOOK, step, roots, Outcome("", 1), later)}


def test_every_command_that_a_remedy_runs_exists(tmp_path):
    here = WorkspacePaths(tmp_path, tmp_path)
    names = {"RUN_DIR": str(tmp_path), "TRAINING_STEP": "3.2"}
    for remedy in (remedy for problem in RUNBOOK.problems for remedy in problem.remedies if remedy.argv):
        argv = tuple(names.get(part, part) for part in remedy.argv)
        _parse(filled(replace(remedy, argv=argv), here).argv)
        assert not filled(remedy, NO_ROOTS).argv or "{" not in " ".join(remedy.argv), "names to fill in"
    (tmp_path / "latest.pth").touch()
    for name, log in LOGS.items():
        (tmp_path / "train_20260101_000000.log").write_text(log)
        (tmp_path / "status.json").write_text(json.dumps({"state": "failed", "max_iters": 9}))
        found = next(one for one in diagnose(RUNBOOK, context_of(tmp_path)) if one.id == name)
        for remedy in found.remedies:
            assert not remedy.overrides or remedy.argv, name
            if remedy.argv:
                assert not {"RUN_DIR", "TRAINING_STEP"} & set(remedy.argv), name
                _parse(filled(remedy, here).argv)


def _parse(argv: tuple[str, ...]) -> None:
    """Parse a command line with click's own parsers, without running it."""
    program, *rest = argv
    assert program == "diffbev-engine"
    command: click.Command = cli
    context = click.Context(command)
    while isinstance(command, click.Group):
        name, command, rest = command.resolve_command(context, rest)  # type: ignore[assignment]
        assert command is not None, name
        context = click.Context(command, parent=context, info_name=name)
    command.parse_args(context, [*rest])


def test_a_resume_is_not_advised_without_a_checkpoint(tmp_path):
    (tmp_path / "train_20260101_000000.log").write_text(LOGS["diverged"])
    (tmp_path / "status.json").write_text(json.dumps({"state": "diverged", "max_iters": 9}))
    (finding, *_) = diagnose(RUNBOOK, context_of(tmp_path))
    assert not [remedy for remedy in finding.remedies if "resume" in remedy.argv]
    (tmp_path / "latest.pth").touch()
    (finding, *_) = diagnose(RUNBOOK, context_of(tmp_path))
    assert finding.remedies[0].argv[-3:] == (str(tmp_path), "--set", "optimizer.lr=1e-4")


@pytest.mark.parametrize(("batch", "advised"), [(8, True), (2, False), (1, False)])
def test_a_setting_that_the_run_has_already_is_not_advised(batch, advised, tmp_path):
    (tmp_path / "train_20260101_000000.log").write_text("torch.cuda.OutOfMemoryError: CUDA out of memory.")
    (tmp_path / "run.json").write_text(json.dumps({"config": {"data": {"samples_per_gpu": batch}}}))
    (finding, *_) = diagnose(RUNBOOK, context_of(tmp_path))
    assert any("data.samples_per_gpu=2" in remedy.overrides for remedy in finding.remedies) is advised


def test_a_remedy_for_another_library_is_left_out():
    log = LogText("ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    (finding,) = diagnose(RUNBOOK, FailureContext(logs=(log,)))
    said = " ".join(remedy.text.en for remedy in finding.remedies)
    assert "opencv-python-headless" in said
    assert "libstdc++" not in said


def test_an_own_problem_of_a_workspace_keeps_its_patterns(roots):
    own = """
[[problem]]
id = "own"
title = "Own"
explanation = "Own"
logs = ['(?i)frobnicator (\\d+) failed']
"""
    (roots.workspace / "runbook.toml").write_text(own)
    log = roots.workspace / "train.log"
    log.write_text("Frobnicator 7 FAILED\n")
    assert [one.id for one in consult(log).findings if one.certainty is Certainty.SHOWN] == ["own"]


def test_a_pattern_that_never_ends_does_not_hang(roots, monkeypatch):
    monkeypatch.setattr(patterns, "LIMIT_S", 0.3)
    own = "[[problem]]\nid = 'own'\ntitle = 'Own'\nexplanation = 'Own'\nlogs = ['(a+)+$']\n"
    (roots.workspace / "runbook.toml").write_text(own)
    log = roots.workspace / "train.log"
    log.write_text("a" * 60 + "!\n")
    (finding,) = [one for one in consult(log).findings if one.id == "own"]
    assert finding.certainty is Certainty.CIRCUMSTANCE
    assert "take too long" in finding.evidence[0].en


@pytest.mark.parametrize(
    ("column", "value", "name"), [("mIoU", 0.0461, "6"), ("loss", float("nan"), "diverged")]
)
def test_metrics_name_their_problem(column, value, name, tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.csv")
    for step in (100, 200, 300):
        mode = "eval" if column == "mIoU" else "train"
        writer.write({"step": step, "mode": mode, column: value})
    writer.close()
    assert _first(context_of(tmp_path)) == name


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
    output = process.communicate(timeout=PATIENCE_S)[0]
    answer = json.loads(output[output.index('{\n "workspace"') :])
    assert process.returncode == 1
    assert (answer["failed"], answer["problem"]) == (step, name)
    assert answer["findings"][0]["evidence"][0]["zh"]
    asked = consult(roots.workspace)
    assert asked.findings[0].id == name


def test_the_machine_is_no_cause_where_the_log_shows_another(monkeypatch, tmp_path):
    none = GpuReading(trouble=Trouble.NO_LIBRARY, problem=Bilingual("没有驱动", "no driver"))
    monkeypatch.setattr(failure, "read_gpus", lambda: none)
    log = tmp_path / "train.log"
    log.write_text(LOGS["disk-full"])
    found = diagnose(RUNBOOK, context_of(log))
    assert [finding.id for finding in found] == ["disk-full", "no-gpu"]
    assert found[1].certainty is Certainty.CIRCUMSTANCE


def test_the_message_of_a_run_without_a_log_is_read(tmp_path):
    message = "out of GPU memory: Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"
    (tmp_path / "status.json").write_text(json.dumps({"state": "oom", "max_iters": 9, "message": message}))
    assert diagnose(RUNBOOK, context_of(tmp_path))[0].figures["oom"]["requested"] == 2048


def test_remedies_of_gpu_memory_follow_its_cause():
    fragmented = (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 10.00 GiB of which "
        "1.00 MiB is free. Of the allocated memory 6.00 GiB is allocated by PyTorch, and 3.00 GiB is "
        "reserved by PyTorch but unallocated."
    )
    finding = diagnose(RUNBOOK, FailureContext(logs=(LogText(fragmented),)))[0]
    assert finding.figures["oom"]["fragmented"]
    assert "expandable_segments" in finding.remedies[0].text.en


def test_doctor_on_the_command_line(tmp_path: Path):
    (tmp_path / "train.log").write_text(LOGS["diverged"])
    process = engine("runbook", "doctor", tmp_path / "train.log", "--lang", "zh")
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 1
    assert "训练发散" in output
    assert "Lwce is NaN" in output


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has nvidia-smi")
def test_only_a_demo_goes_on_without_a_gpu(roots):
    def run() -> dict[str, object]:
        process = engine("runbook", "run", roots.workspace, "--step", "1.6", "--anyway", "--json")
        output = process.communicate(timeout=PATIENCE_S)[0]
        answer: dict[str, object] = json.loads(output[output.index('{\n "workspace"') :])
        return answer

    assert run()["exit_code"] == 0
    file = roots.workspace / "workspace.toml"
    file.write_text(file.read_text().replace("demo = true", "demo = false"))
    answer = run()
    assert (answer["exit_code"], answer["failed"], answer["problem"]) == (1, "1.6", "no-gpu")
