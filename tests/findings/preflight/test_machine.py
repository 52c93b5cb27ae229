"""Limits of the machine that would end a run are told before it starts."""

import json
import os
import resource
import shutil
import socket
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import dump_config
from diffbev_engine.core.host_memory import HostMemory
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import load_sample
from diffbev_engine.findings import machine, storage, weights
from diffbev_engine.findings.finding import Severity
from diffbev_engine.findings.plan import Plan
from diffbev_engine.findings.preflight import CHECKS
from diffbev_engine.runs.process import identify
from diffbev_engine.train.checkpoint import load_checkpoint
from tests.processes import PATIENCE_S, engine


@pytest.fixture
def plan(root, tiny_settings, tmp_path):
    settings = tiny_settings.model_copy(update={"data_root": root})
    return Plan(settings, "tiny.py", tmp_path / "run")


def _with(plan, **data):
    changed = plan.settings.data.model_copy(update=data)
    settings = plan.settings.model_copy(update={"data": changed})
    return Plan(settings, plan.config, plan.folder.path)


def _hold(folder: Path) -> None:
    folder.mkdir()
    owner = {**asdict(identify()), "since": time.time(), "command": ["train"], "launch": None}
    (folder / "run.lock").write_text(json.dumps(owner))


def test_the_work_dir_of_a_living_training_is_refused(plan):
    _hold(plan.folder.path)
    [finding] = storage.work_dir(plan)
    assert finding.severity is Severity.ERROR
    assert f"process {os.getpid()}" in finding.title.en
    assert "runs stop" in finding.advice.en


def test_an_earlier_run_in_the_work_dir_is_a_warning(plan):
    plan.folder.path.mkdir()
    plan.folder.latest.touch()
    [finding] = storage.work_dir(plan)
    assert (finding.severity, "--resume" in finding.advice.en) == (Severity.WARNING, True)


def test_a_work_dir_below_a_file_is_an_error(plan, tmp_path):
    (tmp_path / "file").touch()
    [finding] = storage.work_dir(Plan(plan.settings, "tiny.py", tmp_path / "file" / "run"))
    assert finding.severity is Severity.ERROR


def test_the_size_of_a_checkpoint_is_known_beforehand(plan, tiny_settings, tmp_path):
    from diffbev_engine.evaluate.run import evaluation_in_training
    from diffbev_engine.train.train import TrainingJob, train

    runner = tiny_settings.runner.model_copy(update={"max_iters": 1})
    settings = plan.settings.model_copy(update={"runner": runner})
    train(TrainingJob(settings, "tiny.py", tmp_path / "real"), evaluation_in_training)
    path = tmp_path / "real" / "latest.pth"
    assert load_checkpoint(path).iteration == 1
    assert storage.checkpoint_bytes(plan) == pytest.approx(path.stat().st_size, rel=0.05)


def test_a_disk_without_room_for_the_checkpoints_is_an_error(plan, monkeypatch):
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(2**40, 2**40 - 2**20, 2**20))
    [finding] = storage.disk(plan)
    assert finding.severity is Severity.ERROR
    assert "1 MiB free" in finding.title.en
    assert "2 kept, latest, best, those being written: 6 ×" in finding.title.en


def test_depth_that_is_still_to_be_made_needs_room_too(plan):
    [finding] = storage.disk(_with(plan, load_depth=True))
    assert "13 depth files" in finding.title.en


def test_resized_images_that_are_still_to_be_kept_need_room_too(plan, tmp_path):
    plan = _with(plan, frame_cache=tmp_path / "cache")
    assert any("13 resized images" in finding.title.en for finding in storage.disk(plan))
    for record in read_records(plan.root.root, "train", "all"):
        load_sample(record, plan.settings.data.image_size, cache=tmp_path / "cache")
    assert any("5 resized images" in finding.title.en for finding in storage.disk(plan))


def test_too_few_open_files_in_a_real_shell(plan, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(dump_config(_with(plan, workers_per_gpu=8).settings))
    limited = f"import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {_hard()}))"
    limited += "; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    process = engine(
        *("preflight", config, "--work-dir", tmp_path / "run", "--json", "--lang", "en"),
        launcher=("-c", limited),
    )
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 1, output
    result = json.loads(output)
    [finding] = [each for each in result["findings"] if each["check"] == "open_files"]
    assert finding["level"] == "error"
    assert "the limit is 256" in finding["what"]["en"]
    assert "ulimit -n 4096" in finding["do"]["en"]
    assert result["counts"]["error"] == 1


def _hard():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_shared_memory_is_held_against_the_batches_of_all_workers(plan, tmp_path, monkeypatch):
    loaded = _with(plan, workers_per_gpu=4)
    assert next(machine.shared_memory(loaded)).severity is Severity.OK
    need = machine.shared_bytes(loaded)
    assert need == 4 * 4 * 2 * machine.batch_bytes(loaded, 2)
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(2**26, 2**26 - need // 2, need // 2))
    [finding] = machine.shared_memory(loaded, tmp_path)
    assert finding.severity is Severity.ERROR
    assert "--shm-size" in finding.advice.en
    assert next(machine.shared_memory(loaded, tmp_path / "none")).severity is Severity.WARNING


@pytest.mark.parametrize(("available", "level"), [(100, "error"), (3000, "warning"), (64000, "ok")])
def test_host_memory_is_held_against_the_processes(plan, available, level):
    [finding] = machine.judge_ram(plan, HostMemory(64000, available, 0, 0, True))
    assert finding.severity.value == level
    assert "container" in finding.title.en


def test_a_swapping_machine_is_a_warning(plan):
    found = list(machine.judge_ram(plan, HostMemory(64000, 60000, 1000, 900, False)))
    assert [each.severity for each in found] == [Severity.OK, Severity.WARNING]


def test_more_workers_than_cores_is_a_warning(plan):
    assert next(machine.cores(_with(plan, workers_per_gpu=4096))).severity is Severity.WARNING


def test_a_run_that_never_evaluates_is_a_warning(plan):
    evaluation = plan.settings.evaluation.model_copy(update={"interval": 1000})
    settings = plan.settings.model_copy(update={"evaluation": evaluation})
    found = list(machine.schedule(Plan(settings, "tiny.py", plan.folder.path)))
    assert "6 iterations × 2: each of 8 images is seen 1.5 times" in found[0].title.en
    assert found[1].severity is Severity.WARNING


def _weights(plan, pretrained, name="swin_tiny_patch4_window7_224"):
    backbone = plan.settings.model.backbone.model_copy(update={"pretrained": pretrained, "name": name})
    model = plan.settings.model.model_copy(update={"backbone": backbone})
    settings = plan.settings.model_copy(update={"model": model})
    [finding] = weights.weights(Plan(settings, "tiny.py", plan.folder.path))
    return finding


def test_pretrained_weights_are_a_readable_file(plan, tmp_path):
    assert "there is no file" in _weights(plan, str(tmp_path / "none.pth")).title.en
    torch.save({"a": torch.ones(1)}, tmp_path / "good.pth")
    assert _weights(plan, str(tmp_path / "good.pth")).severity is Severity.OK
    (tmp_path / "bad.pth").write_bytes((tmp_path / "good.pth").read_bytes()[:100])
    assert _weights(plan, str(tmp_path / "bad.pth")).severity is Severity.ERROR


def test_weights_that_would_be_downloaded_need_a_network(plan, monkeypatch):
    monkeypatch.setattr(weights, "_cached", lambda _hub, _url: None)
    with socket.socket() as hub:
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        assert _weights(plan, "imagenet").severity is Severity.WARNING
    found = _weights(plan, "imagenet")
    assert found.severity is Severity.ERROR
    assert "does not answer" in found.title.en
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in _weights(plan, "imagenet").title.en


def test_weights_in_the_cache_need_nothing(plan, monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "swin_tiny_patch4_window7_224.pth").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert _weights(plan, "imagenet").severity is Severity.OK


def test_one_check_that_breaks_does_not_stop_the_others(look, monkeypatch):
    def breaks(_plan):
        raise ZeroDivisionError("of the check")

    monkeypatch.setitem(CHECKS, "ram", breaks)
    found = look()
    assert "itself failed: ZeroDivisionError" in next(each for each in found if each.id == "ram").title.en
    assert found[-1].id == "cores"


def test_the_command_prints_chinese_and_leaves_with_0(plan, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(dump_config(plan.settings))
    arguments = ["preflight", str(config), "--work-dir", str(tmp_path / "run"), "--lang", "zh"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "错误 0" in result.output
    assert not (tmp_path / "run").exists()
