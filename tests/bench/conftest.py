import shutil
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.config.load import dump_config
from diffbev_engine.config.settings import Settings


@pytest.fixture(scope="session")
def depth_root(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data root with sparse depth beside it."""
    root = tmp_path_factory.mktemp("depth_root") / "data"
    shutil.copytree(tiny_root, root)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        folder = root / "ann_bev_dir" / f"{split}_depth"
        folder.mkdir()
        for image in (root / "img_dir" / split).iterdir():
            mask = rng.random((64, 96)) < 0.05
            depth = np.where(mask, rng.uniform(2, 45, (64, 96)), 0).astype(np.float32)
            np.savez(folder / f"{image.stem}.npz", depth=depth, mask=mask.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def diffbev_config(
    tiny_settings: Settings, depth_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny network with all parts of DiffBEV, as a configuration file."""
    values = tiny_settings.model_dump()
    values["data_root"] = depth_root
    values["model"]["depth_loss"] = {}
    values["model"]["diffusion"] = {
        **{"widths": (8, 8, 8), "blocks": 1, "groups": 4},
        "fusion": {"heads": 2, "key_stride": 8},
    }
    values["data"]["load_depth"] = True
    path = tmp_path_factory.mktemp("config") / "tiny_diffbev.py"
    path.write_text(dump_config(Settings(**values)))
    return path
