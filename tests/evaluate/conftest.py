"""A data root with depth ground truth."""

import shutil

import numpy as np
import pytest

from diffbev_engine.prepare.depth import write_depth


@pytest.fixture
def depth_root(tiny_root, tmp_path):
    """A copy of the tiny root whose validation images have 40 LiDAR points each."""
    root = shutil.copytree(tiny_root, tmp_path / "root")
    folder = root / "ann_bev_dir" / "val_depth"
    folder.mkdir()
    for number, image in enumerate(sorted((root / "img_dir" / "val").iterdir())):
        rng = np.random.default_rng(number)
        depth = np.zeros((64, 96), np.float32)
        depth.flat[rng.choice(depth.size, 40, replace=False)] = rng.uniform(1, 50, 40)
        write_depth(folder / f"{image.stem}.npz", depth, (depth > 0).astype(np.uint8))
    return root
