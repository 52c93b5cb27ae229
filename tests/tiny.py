"""The smallest data root and network that train for real: some ten milliseconds an iteration on one CPU."""

import json
from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.config.settings import Settings
from diffbev_engine.prepare.encoding import encode_label, write_label


def write_tiny_root(root: Path, val: int = 5) -> Path:
    """Write 8 training and ``val`` validation images with their labels into ``root``; returns it."""
    calibration, index = {}, []
    for split, count in (("train", 8), ("val", val)):
        for folder in ("img_dir", "ann_bev_dir"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            token = f"{split}{number:027d}"
            _write_tiny_sample(root, split, token, np.random.default_rng([number, count]))
            calibration[token] = [[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]]
            entry = {"token": token, "camera": "CAM_FRONT", "scene": "scene-0061", "split": split}
            index.append(entry | {"sample": token, "timestamp": number, "location": "boston-seaport"})
    (root / "calib.json").write_text(json.dumps(calibration))
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    return root


def _write_tiny_sample(root: Path, split: str, token: str, rng: np.random.Generator) -> None:
    """A bright block in the image where the label has a car, on drivable area everywhere near."""
    image = rng.integers(0, 80, (64, 96, 3), np.uint8)
    column = int(rng.integers(10, 70))
    image[20:50, column : column + 16] = 230
    cv2.imwrite(str(root / "img_dir" / split / f"{token}.jpg"), image)
    classes = np.zeros((14, 196, 200), bool)
    classes[0, :120] = True
    classes[4, 40:60, 2 * column : 2 * column + 30] = True
    outside = np.zeros((196, 200), bool)
    outside[:20, :40] = outside[:20, 160:] = True
    hidden = outside.copy()
    hidden[150:] = True
    write_label(root / "ann_bev_dir" / split / f"{token}.png", encode_label(classes, hidden, outside))


def tiny_settings_for(root: Path) -> Settings:
    """A network for it that trains in milliseconds, in full precision."""
    return Settings(
        data_root=root,
        model={
            "backbone": {"name": "resnet10t", "pretrained": None, "out_stage": 2},
            "lift": {"mode": "aligned", "channels": 8},
            "head": {"planes": (4, 4), "blocks": 1, "groups": 4},
        },
        data={"samples_per_gpu": 2, "workers_per_gpu": 0, "image_size": (64, 96), "cameras": "front"},
        lr_config={"warmup_iters": 2},
        runner={"max_iters": 6},
        checkpoint_config={"interval": 2, "max_keep_ckpts": 2},
        evaluation={"interval": 3},
        log_config={"interval": 1},
        precision="fp32",
    )


def trained(settings):
    """A model with weights as if it had been trained: no layer is the identity, every class is found."""
    import torch

    from diffbev_engine.models.model import build_model

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = build_model(settings.model, settings.data.image_size)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        model.head.classifier.bias.zero_()
    return model


def save_weights(model, folder: Path, settings: Settings | None = None) -> Path:
    """A checkpoint at iteration 6 in the new ``folder``, with its settings if given; returns its path."""
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.train.checkpoint import Best, Checkpoint
    from diffbev_engine.train.saving import save_checkpoint

    checkpoint = Checkpoint(
        iteration=6,
        model=model.state_dict(),
        optimizer={},
        scaler={},
        meter={},
        random=[],
        best=Best(),
        evaluated=True,
        settings=settings.model_dump(mode="json") if settings else {},
    )
    folder.mkdir()
    return save_checkpoint(RunFolder(folder), checkpoint, is_best=False, keep=1)
