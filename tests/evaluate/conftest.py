"""A small DiffBEV, checkpoints of it, and a data root with depth ground truth."""

import shutil

import numpy as np
import pytest
import torch

from diffbev_engine.config.load import dump_config
from diffbev_engine.models.model import build_model
from diffbev_engine.prepare.depth import write_depth
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.checkpoint import Best, Checkpoint
from diffbev_engine.train.saving import save_checkpoint


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


@pytest.fixture
def diffusion_settings(tiny_settings):
    """The tiny network with diffusion; without attention, which a CPU takes seconds for."""
    diffusion = {"widths": (8, 8, 8), "blocks": 1, "groups": 4, "steps": 2, "fusion": {"type": "add"}}
    content = tiny_settings.model_dump()
    content["model"]["diffusion"] = diffusion
    return type(tiny_settings).model_validate(content)


def trained(settings):
    """A model with weights as if it had been trained: no layer is the identity, every class is found."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = build_model(settings.model, settings.data.image_size)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        model.head.classifier.bias.zero_()
    return model


@pytest.fixture
def saved(tmp_path):
    """Writes a configuration and a checkpoint of ``trained`` settings; returns both paths."""

    def save(settings):
        folder = tmp_path / "run"
        folder.mkdir()
        config = tmp_path / "tiny.py"
        config.write_text(dump_config(settings))
        checkpoint = Checkpoint(
            iteration=6,
            model=trained(settings).state_dict(),
            optimizer={},
            scaler={},
            meter={},
            random=[],
            best=Best(),
            evaluated=True,
            settings={},
        )
        return config, save_checkpoint(RunFolder(folder), checkpoint, is_best=False, keep=1)

    return save
