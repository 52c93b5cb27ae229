"""Reads the tensors of a checkpoint of any origin; nothing in it is ever executed."""

import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.file_kind import HEAD_BYTES, kind_of
from diffbev_engine.core.pickled import UnsafePickleError, problem_of_pickles

StateDict = dict[str, Tensor]
_CONTAINERS = (
    "ema",  # of a run that averaged its weights, those that it evaluated
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "module",
    "backbone",
)
_MOST_LEVELS = 4


def read_state_dict(path: Path, setting: str = "model.backbone.pretrained") -> StateDict:
    """Read the tensors of a checkpoint, which ``setting`` names, without executing anything in it.

    Raises:
        DiffBEVError: a missing file, or one that is not a plain checkpoint of tensors.
    """
    if not path.is_file():
        raise DiffBEVError(f"{setting}: there is no file {path}. Give the path of a checkpoint.")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            problem = _problem_of(path, head)
            if problem:
                raise ValueError(problem)
            if head[8:9] == b"{":  # after the length of its header
                from safetensors.torch import load_file

                checkpoint: Any = load_file(path)
            else:
                checkpoint = load_values(path)
    except Exception as error:  # the readers raise many kinds on damaged files
        raise DiffBEVError(
            f"{path} is not a checkpoint that can be read safely: {_reason(error)}. It must be a state dict "
            "of tensors as written by torch.save, or a .safetensors file."
        ) from error
    tensors = _tensors(checkpoint)
    if not tensors:
        raise DiffBEVError(f"{path} holds no state dict. Give a checkpoint of weights.")
    return tensors


def other_shapes(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """The tensors that both have in different shapes, a clause each."""
    return [
        f"{name} is {tuple(weights[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]


def load_values(path: Path, *, mapped: bool = False) -> Any:
    """Load what ``torch.save`` wrote, onto the CPU: tensors and plain values.

    Args:
        path: a file; its zip archive, if it is one, holds nothing packed.
        mapped: leave the tensors on disk until they are used.

    Raises:
        UnsafePickleError: a file that would keep the decoder busy without end.
        Exception: of many kinds, whatever the decoder meets in a damaged file.
    """
    problem = problem_of_pickles(path)
    if problem:
        raise UnsafePickleError(problem)
    if mapped:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    with path.open("rb") as file:  # given a path, it would choose the decoder by the suffix
        return torch.load(file, map_location="cpu", weights_only=True)


def _problem_of(path: Path, head: bytes) -> str:
    """Why a file cannot be a checkpoint, by its beginning; empty if it may be one."""
    if not head:
        return "it is empty; download it again"
    kind = kind_of(head)
    if kind == "a zip archive":
        if not zipfile.is_zipfile(path):
            return "it is truncated; download it again"
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.filelist)
        if "constants.pkl" in names:
            return "it is a TorchScript program; save the state_dict() of the network alone"
        if packed and "data.pkl" in names:
            return "it is packed, as torch.save never does"
        return "" if "data.pkl" in names else "it is a zip archive of other files; unpack it"
    if kind in ("", "a pickle", "a tar archive") and not _unpacks_to_files(path, kind):
        return ""
    return f"it is {kind}" + ("; unpack it" if kind.endswith("archive") else "")


def _unpacks_to_files(path: Path, kind: str) -> bool:
    """Whether a tar archive is one of files, not a checkpoint of an early torch, which was a tar as well."""
    if kind != "a tar archive":
        return False
    with tarfile.open(path) as archive:
        return "pickle" not in archive.getnames()


def _reason(error: Exception) -> str:
    """What a reader says about a file, without torch's advice to run whatever it holds."""
    text = str(error).strip()
    if isinstance(error, UnsafePickleError):
        return f"it {text}"
    found = re.search(r"(?:GLOBAL|class|type) ([\w.]+\.\w+)", text) if "eights only" in text else None
    if found:
        return (
            f"it holds Python objects ({found[1]}), which are never unpickled. Save the state_dict() alone "
            "with the program that wrote it"
        )
    if "eights only" in text:
        return "it is not a PyTorch checkpoint, or damaged; download it again"
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")


def _tensors(checkpoint: Any) -> StateDict:
    """The tensors of a checkpoint; those in dicts that are not known to hold the network get their prefix."""
    for _ in range(_MOST_LEVELS):
        inner = [checkpoint[key] for key in _CONTAINERS if _holds_tensors(checkpoint, key)]
        if not inner:
            break
        checkpoint = inner[0]
    return dict(_flat(checkpoint, ""))


def _holds_tensors(checkpoint: Any, key: str) -> bool:
    return isinstance(checkpoint, Mapping) and any(True for _ in _flat(checkpoint.get(key), ""))


def _flat(value: Any, prefix: str, levels: int = _MOST_LEVELS) -> Iterator[tuple[str, Tensor]]:
    for key, item in value.items() if isinstance(value, Mapping) and levels else ():
        if isinstance(item, Tensor):
            yield f"{prefix}{key}", item
        else:
            yield from _flat(item, f"{prefix}{key}.", levels - 1)
