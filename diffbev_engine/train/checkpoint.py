"""Checkpoints: what is in one, loaded with weights_only, verified before it is used; see ``saving``."""

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import foreign_bytes
from diffbev_engine.core.pickled import UnsafePickleError
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.models.weights_file import load_values, other_shapes
from diffbev_engine.runs.folder import RunFolder

FORMAT = 1
_SHOWN_MISMATCHES = 3
_WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile


@dataclass
class Best:
    """The best evaluation so far."""

    miou: float | None = None
    step: int | None = None

    def beaten_by(self, miou: float) -> bool:
        """Whether ``miou`` is better."""
        return self.miou is None or miou > self.miou


@dataclass
class Progress:
    """Where training stands."""

    iteration: int = 0
    """Optimizer steps done."""
    evaluated: bool = True
    """Whether the evaluation due at this iteration has been done."""
    best: Best = field(default_factory=Best)


@dataclass
class Checkpoint:
    """Everything from which training continues as if it had not stopped."""

    iteration: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    meter: dict[str, Any]
    random: list[Any]
    """One entry per process, see ``random_state``."""
    best: Best
    evaluated: bool
    """Whether the evaluation due at this iteration has been done."""
    settings: dict[str, Any]
    ema: dict[str, Tensor] = field(default_factory=dict)
    """Moving average of ``model``; empty where none is kept."""
    cameras: dict[str, Any] = field(default_factory=dict)
    """Those of the training images, as ``CameraRanges`` writes them; empty where it is not known."""

    @property
    def evaluated_weights(self) -> dict[str, Tensor]:
        """Those that evaluation in training scores, and everything else that predicts."""
        return self.ema or self.model

    @property
    def priors(self) -> tuple[float, ...]:
        """The class priors that it was trained with; empty where it does not say."""
        try:
            return tuple(map(float, self.settings["model"]["loss"]["priors"]))
        except (KeyError, TypeError, ValueError):
            return ()


_KINDS: dict[str, type] = {
    **{"iteration": int, "evaluated": bool, "random": list},
    **dict.fromkeys(("model", "optimizer", "scaler", "meter", "best", "settings", "ema", "cameras"), dict),
}
_ADDED: dict[str, Any] = {"ema": {}, "cameras": {}}
"""Fields that checkpoints of earlier versions lack."""
_KEYS = {"optimizer": ("state", "param_groups"), "meter": ("sums", "count"), "best": ("miou", "step")}
assert _KINDS.keys() == {each.name for each in fields(Checkpoint)}, "every field is checked"


@dataclass(frozen=True)
class Rejected:
    """A checkpoint that cannot be used."""

    path: Path
    reason: str
    """The end of a sentence that the name begins, such as "is truncated"."""

    def __str__(self) -> str:
        return f"{self.path.name} {self.reason}"


@dataclass(frozen=True)
class Usable:
    """The newest checkpoint of a run that can be resumed from, and the newer ones that cannot."""

    path: Path
    checkpoint: Checkpoint
    rejected: tuple[Rejected, ...] = ()

    @property
    def note(self) -> str:
        """Why this one was taken; empty where the newest is sound."""
        if not self.rejected:
            return ""
        return f"{'; '.join(map(str, self.rejected))}; resuming from {self.path.name}"


_Progress = dict[tuple[int, int], tuple[float, bool]]
"""Iteration of each file by device and inode, and whether it was evaluated: saving links several names."""


class UnusableCheckpointError(DiffBEVError):
    """A checkpoint that is damaged, incomplete or not a checkpoint."""

    def __init__(
        self, path: Path, reason: str, advice: str = "Use an earlier checkpoint from the same directory."
    ) -> None:
        self.reason = reason
        super().__init__(f"{path} cannot be read as a checkpoint: it {reason}. {advice}")


def newest_usable(directory: Path) -> Usable | None:
    """The newest sound checkpoint in ``directory``; ``None`` where there is no checkpoint at all.

    Every candidate is verified: readable as a zip file without CRC errors, complete, of finite
    weights.  ``best_mIoU.pth`` is taken only when none of the others can be used.

    Raises:
        DiffBEVError: there are checkpoints, but none can be used; each reason is given.
    """
    folder = RunFolder(directory)
    candidates = folder.checkpoint_files()
    if not candidates:
        return None
    rejected = [] if os.path.lexists(folder.latest) else [Rejected(folder.latest, "is missing")]
    progress: _Progress = {}
    for path in sorted(candidates, key=lambda path: _age(folder, path, progress)):
        try:
            return Usable(path, load_checkpoint(path, to_resume=True), tuple(rejected))
        except UnusableCheckpointError as error:
            rejected.append(Rejected(path, error.reason))
        except UsageError:
            rejected.append(Rejected(path, "is not a checkpoint of this program"))
    reasons = "; ".join(
        f"{each.path.name} cannot be read as a checkpoint: it {each.reason}" for each in rejected
    )
    raise DiffBEVError(
        f"no usable checkpoint in {directory}: {reasons}. Nothing was changed. Restore one from a backup, or "
        "start without --resume: the files of this run are then moved to a subdirectory."
    )


def load_checkpoint(path: Path, *, to_resume: bool = False) -> Checkpoint:
    """Read a checkpoint onto the CPU; tensors and plain values only, nothing is executed.

    Args:
        path: the file.
        to_resume: require what training continues from: the optimizer's state, and finite weights.

    Raises:
        DiffBEVError: a missing, damaged or incomplete file, or one of a newer version.
        UsageError: a file that is not a checkpoint of this program.
    """
    if not os.path.lexists(path):
        raise DiffBEVError(
            f"no checkpoint {path}. Name an existing iter_<n>.pth, latest.pth or best_mIoU.pth."
        )
    damage = _damage(path)
    if damage:
        raise UnusableCheckpointError(path, damage)
    try:
        content = load_values(path)
    except UnsafePickleError as error:
        raise UnusableCheckpointError(path, str(error)) from error
    except Exception as error:  # whatever the decoder meets in a file from outside
        # torch's own words advise to load it with weights_only=False, which would run code from the file.
        reason = "holds objects other than tensors and plain values, which are never loaded"
        raise UnusableCheckpointError(path, reason) from error
    checkpoint = _checkpoint(path, content, to_resume=to_resume)
    if to_resume:
        _require_finite(path, checkpoint)
    return checkpoint


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Load model weights, all of them or none.

    Raises:
        UsageError: when they belong to another architecture; the first differences are named.
    """
    own = model.state_dict()
    differences = [f"{name} is missing" for name in own.keys() - weights.keys()]
    differences += [f"{name} is unknown" for name in weights.keys() - own.keys()]
    differences += other_shapes(own, weights)
    if differences:
        shown = "; ".join(sorted(differences)[:_SHOWN_MISMATCHES])
        raise UsageError(
            f"{origin} is a checkpoint of another architecture: {len(differences)} of {len(own)} tensors "
            f"differ ({shown}). Use the configuration it was trained with (see run.json in the same "
            f"directory)."
        )
    model.load_state_dict(dict(weights))


def _damage(path: Path) -> str:
    """What is wrong with the bytes of a file, as the end of a sentence; empty if nothing is."""
    if not path.exists():
        return "is a link to a file that does not exist"
    if not path.is_file():
        return "is not a file"
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            return "is empty"
        if not head.strip(b"\0"):
            return "contains only zeros"
        if not head.startswith(b"PK"):
            return foreign_bytes(head) or "is not a file that torch.save wrote"
        if not zipfile.is_zipfile(path):
            return "is truncated"
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.filelist):
                return "is packed, as torch.save never does: it could hold more than fits into memory"
            bad = archive.testzip()  # torch.load does not compare checksums
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except Exception as error:  # whatever zipfile meets in damaged bytes
        return f"is damaged ({type(error).__name__})"
    return f"is damaged (checksum error in {bad})" if bad else ""


def _checkpoint(path: Path, content: object, *, to_resume: bool) -> Checkpoint:
    """Check the fields of what was loaded; those that this version does not know are skipped."""
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(version, int):
        raise UsageError(
            f"{path} is not a checkpoint of this program{_other_kind(content)}. To load backbone weights, "
            "set model.backbone.pretrained; --resume accepts only checkpoints written by this program."
        )
    if version > FORMAT:
        reason = f"was written by a newer version (format {version}; this version reads {FORMAT})"
        raise UnusableCheckpointError(path, reason, "Update diffbev-engine to use it.")
    content = {**_ADDED, **content}
    missing = [name for name in _KINDS if name not in content]
    parts = _KEYS if to_resume else {"best": _KEYS["best"]}
    missing += [
        f"{name}.{key}" for name, keys in parts.items() for key in keys if key not in content.get(name, ())
    ]
    if missing:
        raise UnusableCheckpointError(path, f"lacks the field {missing[0]!r}")
    wrong = next((name for name, kind in _KINDS.items() if not isinstance(content[name], kind)), None)
    if wrong or not all(map(_is_whole, [*content["model"].values(), *content["ema"].values()])):
        raise UnusableCheckpointError(path, f"has a damaged field {wrong or 'model'!r}")
    values = {name: content[name] for name in _KINDS}
    weights = {name: _unwrapped(content[name]) for name in ("model", "ema")}
    best = Best(**{key: content["best"][key] for key in _KEYS["best"]})
    return Checkpoint(**{**values, **weights, "best": best})


def _is_whole(tensor: object) -> bool:
    """Whether it is a tensor that has all the bytes it claims; one can claim any shape with a stride of 0."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )


def _other_kind(content: object) -> str:
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        return ": it was written by PyTorch Lightning"
    if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
        return f": it holds {len(content)} tensors and no training state"
    return ""


def _unwrapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names without the prefix that a wrapper has given to all of them."""
    for prefix in _WRAPPERS:
        if weights and all(name.startswith(prefix) for name in weights):
            return _unwrapped({name.removeprefix(prefix): tensor for name, tensor in weights.items()})
    return weights


def _require_finite(path: Path, checkpoint: Checkpoint) -> None:
    for name, tensor in [*checkpoint.model.items(), *checkpoint.ema.items()]:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UnusableCheckpointError(path, f"holds NaN or infinite weights ({name})")


def _age(folder: RunFolder, path: Path, known: _Progress) -> tuple[bool, float, bool, bool]:
    """Sorts the newest checkpoint first, and what cannot be read where its name puts it."""
    try:
        with open_regular(path) as file:  # opening a pipe would wait for its writer
            status = os.fstat(file.fileno())
        file_itself = status.st_dev, status.st_ino
        if file_itself not in known:
            # Mapped, so that little more than the names is read.
            content = load_values(path, mapped=True)
            known[file_itself] = float(content["iteration"]), bool(content["evaluated"])
        iteration, evaluated = known[file_itself]
    except Exception:  # met again, with its reason, when it is verified
        number = path.stem.removeprefix("iter_")
        iteration, evaluated = float(number) if number.isdecimal() else math.inf, False
    return path == folder.best, -iteration, not evaluated, path != folder.latest
