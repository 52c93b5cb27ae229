"""Checkpoints: written atomically, loaded with weights_only, validated against the model."""

import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import atomic_path
from diffbev_engine.runs.folder import RunFolder

_FORMAT = 1
_SHOWN_MISMATCHES = 3


@dataclass
class Best:
    """The best evaluation so far."""

    miou: float | None = None
    step: int | None = None

    def beaten_by(self, miou: float) -> bool:
        """Whether ``miou`` is better."""
        return self.miou is None or miou > self.miou


@dataclass
class Checkpoint:
    """Everything from which training continues as if it had not stopped."""

    iteration: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    meter: dict[str, Any]
    random: list[Any]
    """One entry a process, see ``random_state``."""
    best: Best
    evaluated: bool
    """Whether the evaluation due at this iteration has been done."""
    settings: dict[str, Any]


def save_checkpoint(folder: RunFolder, checkpoint: Checkpoint, *, is_best: bool, keep: int) -> Path:
    """Write ``iter_<n>.pth`` and point ``latest.pth`` (and ``best_mIoU.pth``) at it.

    Older ``iter_<n>.pth`` beyond the newest ``keep`` are removed.

    Raises:
        DiffBEVError: when the disk is full or cannot be written; earlier checkpoints are intact.
    """
    content = {"format": _FORMAT, **vars(checkpoint), "best": vars(checkpoint.best)}
    path = folder.checkpoint(checkpoint.iteration)
    try:
        with atomic_path(path, durable=True) as temporary:
            torch.save(content, temporary)
        for name in [folder.latest, *([folder.best] if is_best else [])]:
            _same_content(path, name)
        for _, old in folder.checkpoints()[:-keep]:
            old.unlink()
    except (OSError, RuntimeError) as error:
        raise DiffBEVError(
            f"cannot write checkpoint {path}: {error}. Free space on that disk, then continue with --resume."
        ) from error
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; tensors and plain values only, nothing is executed.

    Raises:
        DiffBEVError: a missing or damaged file.
        UsageError: a file that is no checkpoint of this program.
    """
    if not path.is_file():
        raise DiffBEVError(
            f"no checkpoint {path}. Name an existing iter_<n>.pth, latest.pth or best_mIoU.pth."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DiffBEVError(
            f"{path} cannot be read as a checkpoint: {first_line} Use an earlier one from the same folder."
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise UsageError(
            f"{path} is not a checkpoint of this program. To load backbone weights, set "
            f"model.backbone.pretrained; --resume accepts only checkpoints written by this program."
        )
    return Checkpoint(**{**content, "best": Best(**content["best"])})


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Load model weights, all of them or none.

    Raises:
        UsageError: when they belong to another architecture; the first differences are named.
    """
    own = model.state_dict()
    differences = [f"{name} is missing" for name in own.keys() - weights.keys()]
    differences += [f"{name} is unknown" for name in weights.keys() - own.keys()]
    differences += [
        f"{name} is {tuple(weights[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if differences:
        shown = "; ".join(sorted(differences)[:_SHOWN_MISMATCHES])
        raise UsageError(
            f"{origin} is a checkpoint of another architecture: {len(differences)} of {len(own)} tensors "
            f"differ ({shown}). Use the configuration it was trained with (see run.json in the same "
            f"directory)."
        )
    model.load_state_dict(dict(weights))


def _same_content(path: Path, name: Path) -> None:
    with atomic_path(name) as temporary:
        try:
            temporary.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
