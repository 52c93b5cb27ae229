"""What preflight rejects is refused before anything is written; --anyway starts and is recorded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.bilingual import same
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.evaluate.run import evaluation_in_training
from diffbev_engine.findings import preflight, storage
from diffbev_engine.findings.finding import error
from diffbev_engine.train.train import TrainingJob, train


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data root that a test may break."""
    return shutil.copytree(tiny_root, tmp_path / "root")


@pytest.fixture
def settings(tiny_settings: Settings, root: Path) -> Settings:
    """One iteration with depth supervision."""
    model = tiny_settings.model.model_dump() | {"depth_loss": {}}
    changes = {"data_root": root, "model": model, "runner": {"max_iters": 1}}
    data = tiny_settings.data.model_dump() | {"load_depth": True}
    return Settings.model_validate({**tiny_settings.model_dump(), **changes, "data": data})


def _write_depth(root: Path, leave_out: int = 0, size: tuple[int, int] = (64, 96)) -> None:
    for split in ("train", "val"):
        folder = root / "ann_bev_dir" / f"{split}_depth"
        folder.mkdir()
        for image in sorted((root / "img_dir" / split).iterdir())[leave_out:]:
            depth = np.full(size, 10, np.float32)
            np.savez(folder / f"{image.stem}.npz", depth=depth, mask=np.ones(size, np.uint8))


def _refused(settings: Settings, work_dir: Path, **job: object) -> str:
    with pytest.raises(DiffBEVError) as caught:
        train(TrainingJob(settings, "tiny.py", work_dir, **job), evaluation_in_training)
    assert not work_dir.exists()
    return str(caught.value)


def test_depth_supervision_without_depth_is_refused(settings, root, tmp_path):
    message = _refused(settings, tmp_path / "run")
    assert "8 of 8" in message
    assert "prepare-depth" in message
    assert "--anyway" in message
    _write_depth(root, leave_out=2)
    assert "2 of 8" in _refused(settings, tmp_path / "run")


def test_depth_of_another_size_is_refused(settings, root, tmp_path):
    _write_depth(root, size=(32, 48))
    message = _refused(settings, tmp_path / "run")
    assert "depth: train: depth has the wrong size" in message
    assert "32x48" in message


def test_a_damaged_file_is_left_to_the_loader_which_saves_before_it_ends(tiny_settings, root, tmp_path):
    image = sorted((root / "img_dir" / "train").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-200])
    settings = tiny_settings.model_copy(update={"data_root": root})
    with pytest.raises(DiffBEVError, match="truncated"):
        train(TrainingJob(settings, "tiny.py", tmp_path / "run"), evaluation_in_training)
    assert (tmp_path / "run" / "latest.pth").exists()


def test_a_full_disk_is_refused(settings, root, tmp_path, monkeypatch):
    _write_depth(root)
    usage = shutil.disk_usage("/")._replace(free=4096)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    assert "disk: " in _refused(settings, tmp_path / "run")


def test_a_resume_counts_the_room_that_its_own_checkpoints_take(settings, root, tmp_path, monkeypatch):
    _write_depth(root)
    work_dir = tmp_path / "run"
    train(TrainingJob(settings, "tiny.py", work_dir), evaluation_in_training)
    size = (work_dir / "latest.pth").stat().st_size
    usage = shutil.disk_usage("/")._replace(free=int(4.5 * size))
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    two = settings.model_copy(update={"runner": settings.runner.model_copy(update={"max_iters": 2})})
    with pytest.raises(DiffBEVError, match="disk: "):
        train(TrainingJob(two, "tiny.py", work_dir), evaluation_in_training)
    train(TrainingJob(two, "tiny.py", work_dir, resume=True), evaluation_in_training)


def test_anyway_starts_warns_and_is_recorded(settings, tmp_path):
    work_dir = tmp_path / "run"
    train(TrainingJob(settings, "tiny.py", work_dir, anyway=True, overrides=()), evaluation_in_training)
    manifest = json.loads((work_dir / "run.json").read_text())
    assert manifest["anyway"] is True
    assert {each["check"] for each in manifest["overruled"]} == {"depth"}
    assert manifest["arguments"]["anyway"] is True
    log = next(work_dir.glob("train_*.log")).read_text()
    assert "(overruled by --anyway)" in log
    assert log.count("no depth ground truth, such as") == 1


def test_any_check_that_is_a_precondition_refuses(settings, root, tmp_path, monkeypatch):
    _write_depth(root)

    def broken(_plan: object) -> object:
        yield error("new", same("it is broken"), "here", same("fix it"))

    monkeypatch.setitem(preflight.CHECKS, "new", broken)
    monkeypatch.setattr(preflight, "PRECONDITIONS", (*preflight.PRECONDITIONS, "new"))
    assert "new: it is broken [here] → fix it" in _refused(settings, tmp_path / "run")


def test_every_precondition_is_a_check_of_preflight():
    assert set(preflight.PRECONDITIONS) <= preflight.CHECKS.keys()


def test_a_detached_start_is_refused_where_the_message_is_seen(settings, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(dump_config(settings))
    work_dir = tmp_path / "run"
    result = CliRunner().invoke(cli, ["train", str(config), "--work-dir", str(work_dir), "--detach"])
    assert isinstance(result.exception, DiffBEVError)
    assert "have no depth" in str(result.exception)
    assert not work_dir.exists()
