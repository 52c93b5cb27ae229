"""Checkpoints and pretrained weights: the only files of PyTorch that come from outside."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader


def _read_checkpoint(path: Path) -> None:
    from diffbev_engine.train.checkpoint import load_checkpoint, newest_usable

    newest_usable(path.parent)
    load_checkpoint(path, to_resume=True)


def _checkpoint_seeds() -> Sequence[bytes]:
    import torch

    weights = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    content: dict[str, Any] = {"format": 1, "iteration": 5, "model": weights, "scaler": {}, "random": [{}]}
    content |= {"optimizer": {"state": {}, "param_groups": []}, "meter": {"sums": {}, "count": 0}}
    content |= {"best": {"miou": None, "step": None}, "evaluated": False, "settings": {"a": 1}}
    return [_saved(content)]


def _read_weights(path: Path) -> None:
    from diffbev_engine.models.weights_file import read_state_dict

    read_state_dict(path)


def _weight_seeds() -> Sequence[bytes]:
    import torch
    from safetensors.torch import save

    weights = {"layers.0.weight": torch.ones(2, 3), "norm.bias": torch.zeros(2)}
    old = io.BytesIO()
    torch.save(weights, old, _use_new_zipfile_serialization=False)
    return [_saved({"state_dict": weights}), old.getvalue(), save(weights)]


def _saved(content: object) -> bytes:
    import torch

    made = io.BytesIO()
    torch.save(content, made)
    return made.getvalue()


READERS = (
    Reader("checkpoint", "iter_5.pth", _checkpoint_seeds, _read_checkpoint, "zip", cheap=False, torch=True),
    Reader("pretrained weights", "weights.pth", _weight_seeds, _read_weights, "zip", cheap=False, torch=True),
)
