"""What users get wrong ends in one clear message, the right exit code and no traceback."""

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffbev_engine.config.load import dump_config


@pytest.fixture
def root(tiny_root, tmp_path):
    return shutil.copytree(tiny_root, tmp_path / "root")


@pytest.fixture
def config(tiny_settings, root, tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(dump_config(tiny_settings.model_copy(update={"data_root": root})))
    return path


@pytest.fixture
def ends(program):
    """Runs a command that must fail with this code, and returns its message."""

    def ends(code, *arguments):
        ended, output = program(*arguments)
        assert ended == code, output
        assert output.count("error:") + output.count("Error:") + output.count("failed:") == 1, output
        return output

    return ends


def test_unknown_key(ends, config, tmp_path):
    config.write_text(config.read_text() + "data = dict(sampels_per_gpu=2)\n")
    output = ends(2, "train", config, "--work-dir", tmp_path / "run")
    assert f"{config}:" in output
    assert "samples_per_gpu" in output


def test_wrong_type(ends, config, tmp_path):
    output = ends(2, "train", config, "--work-dir", tmp_path / "run", "--set", "runner.max_iters=many")
    assert "runner.max_iters" in output
    assert "many" in output


def test_missing_data_root(ends, config, tmp_path):
    missing = tmp_path / "nowhere"
    output = ends(1, "train", config, "--work-dir", tmp_path / "run", "--set", f"data_root={missing}")
    assert str(missing) in output


def test_empty_split(ends, config, root, tmp_path):
    for path in (root / "img_dir" / "val").iterdir():
        path.unlink()
    assert "val split" in ends(1, "train", config, "--work-dir", tmp_path / "run")


def test_eight_bit_label(ends, config, root, tmp_path):
    label = sorted((root / "ann_bev_dir" / "train").iterdir())[0]
    cv2.imwrite(str(label), np.zeros((196, 200), np.uint8))
    output = ends(1, "train", config, "--work-dir", tmp_path / "run")
    assert label.name in output
    assert "16" in output


def test_truncated_jpeg(ends, config, root, tmp_path):
    image = sorted((root / "img_dir" / "train").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-200])
    output = ends(1, "train", config, "--work-dir", tmp_path / "run", "--set", "data.workers_per_gpu=1")
    assert image.name in output
    assert "truncated" in output
    assert (tmp_path / "run" / "latest.pth").exists()


def test_checkpoint_of_another_architecture(ends, program, config, tmp_path):
    short = ("--set", "runner.max_iters=1")
    assert program("train", config, "--work-dir", tmp_path / "run", *short)[0] == 0
    output = ends(2, "evaluate", config, tmp_path / "run" / "latest.pth", "--set", "model.lift.channels=16")
    assert "another architecture" in output


def test_checkpoint_that_would_run_code(ends, config, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'was_run'}",))

    import pickle

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"model": Evil()}))
    assert str(path) in ends(1, "evaluate", config, path)
    assert not (tmp_path / "was_run").exists()


def test_unwritable_work_dir(ends, config, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder is asked for")
    output = ends(1, "train", config, "--work-dir", blocked / "run")
    assert str(blocked) in output
    if os.geteuid() != 0:  # root may write anywhere
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert "ermission" in ends(1, "train", config, "--work-dir", locked / "run")


@pytest.mark.nuscenes
def test_nan_in_a_point_cloud(ends, nuscenes_sample, tmp_path):
    copy = _linked_copy(nuscenes_sample, tmp_path / "nuScenes")
    cloud = sorted((copy / "samples" / "LIDAR_TOP").iterdir())[0]
    points = np.fromfile(cloud, np.float32)
    points[7] = np.nan
    cloud.unlink()
    points.tofile(cloud)
    output = ends(
        *(1, "prepare", "--nuscenes-root", copy, "--output-dir", tmp_path / "root"),
        *("--split", "scene-0523=train,scene-0916=val", "--workers", "1"),
    )
    assert cloud.name in output
    assert re.search(r"80 images prepared, .*1 failed", output)


def _linked_copy(source: Path, target: Path) -> Path:
    """The same tree in writable folders, with links for the files."""
    for path in source.rglob("*"):
        link = target / path.relative_to(source)
        if path.is_file():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return target
