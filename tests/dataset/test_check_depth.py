"""check-depth says what the loader outputs, and refuses what cannot supervise."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from diffbev_engine.cli.check_depth import command
from diffbev_engine.config.load import dump_config
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.prepare.depth import write_depth


@pytest.fixture
def root(tiny_root, tmp_path):
    """Eight training images with 31 points each, from 2 m to 32 m."""
    root = shutil.copytree(tiny_root, tmp_path / "root")
    (root / "ann_bev_dir" / "train_depth").mkdir()
    for image in (root / "img_dir" / "train").iterdir():
        _write(root, image.stem, np.arange(2.0, 33.0))
    return root


@pytest.fixture
def config(tiny_settings, root, tmp_path):
    content = tiny_settings.model_dump()
    content["data"]["load_depth"] = True
    path = tmp_path / "tiny.py"
    path.write_text(
        dump_config(type(tiny_settings).model_validate(content).model_copy(update={"data_root": root}))
    )
    return path


def _files(root):
    return sorted((root / "ann_bev_dir" / "train_depth").iterdir())


def _write(root, token, depths, size=(64, 96)):
    depth = np.zeros(size, np.float32)
    depth.flat[: len(depths)] = depths
    mask = (depth != 0).astype(np.uint8)
    write_depth(root / "ann_bev_dir" / "train_depth" / f"{token}.npz", depth, mask)


def _check(config, *options):
    return CliRunner().invoke(command, [str(config), *options], catch_exceptions=False)


def test_a_good_root_shows_fields_range_and_ratio(config, root):
    _write(root, _files(root)[3].stem, np.full(62, 20.0))
    result = _check(config)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert "gt_depth: shape [1, 1, 64, 96], float32, valid depths 2.00 to 32.00 m" in lines
    assert "gt_depth_mask: shape [1, 1, 64, 96], bool" in lines
    assert "gt_depth_mask valid_ratio: 0.0050" in lines  # 31 / 6144
    assert "mean valid_ratio of 8 samples: 0.0057" in lines  # 9 * 31 / 8 / 6144
    assert _files(root)[0].name in result.output


def test_fewer_samples_and_json(config):
    report = json.loads(_check(config, "--samples", "3", "--json").stdout)
    assert report["ok"] is True
    assert report["samples"] == 3
    assert report["gt_depth"] == {"shape": [1, 1, 64, 96], "dtype": "float32"}
    assert report["valid_ratio"] == pytest.approx(31 / 6144)
    assert report["depth_m"] == [2.0, 32.0]


def test_a_sample_without_points_among_others_is_a_note(config, root):
    _write(root, _files(root)[5].stem, [])
    result = _check(config)
    assert result.exit_code == 0
    assert "note: 1 of 8 samples have no valid depth" in result.output


def test_no_valid_pixel_fails_and_says_what_to_do(config, root):
    for path in _files(root):
        _write(root, path.stem, [])
    result = _check(config)
    assert result.exit_code == 1
    assert "gt_depth_mask valid_ratio: 0.0000" in result.output
    assert f"problem: {_files(root)[0]} has no valid depth" in result.output
    assert "prepare-depth --nuscenes-root DIR --height 64 --width 96" in result.output


@pytest.mark.parametrize("wrong", [0.3, 51.0, -4.0, float("nan")])
def test_depths_outside_the_lift_fail(config, root, wrong):
    _write(root, _files(root)[4].stem, [10.0, wrong])
    result = _check(config)
    assert result.exit_code == 1
    assert "outside 1 to 50 m" in result.output
    assert "--min-depth 1 --max-depth 50" in result.output


def test_missing_files_fail(config, root):
    gone = _files(root)[2]
    gone.unlink()
    with pytest.raises(DiffBEVError, match=rf"1 of 8 samples have no depth.*{gone.name}.*prepare-depth"):
        _check(config, "--samples", "1")
    with pytest.raises(DiffBEVError, match=r"5 of 5 samples have no depth.*--height 64 --width 96"):
        _check(config, "--split", "val")


def test_another_size_fails(config):
    with pytest.raises(DiffBEVError, match=r"wrong size: files are 64x96.*--width 128 --overwrite"):
        _check(config, "--set", "data.image_size=(96, 128)")


def test_a_damaged_file_fails(config, root):
    _files(root)[0].write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(DiffBEVError, match="damaged"):
        _check(config)


def test_a_configuration_without_depth_fails(config):
    with pytest.raises(DiffBEVError, match=r"data\.load_depth is False"):
        _check(config, "--set", "data.load_depth=False")
