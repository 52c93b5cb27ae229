"""Published weights for the backbone: from timm, or from a file in one of several layouts.

The weights go first into the names of the whole timm network, which published files use; the
features, whose names differ slightly, then take theirs.  Nothing is ever left random silently.
"""

import logging
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import DiffBEVError

_log = logging.getLogger(__name__)

StateDict = dict[str, Tensor]
_CONTAINERS = ("model", "state_dict")
_SHOWN_MISMATCHES = 4


def load_weights(
    features: nn.Module, norm: nn.Module, name: str, source: str, model_args: dict[str, Any]
) -> None:
    """Load published weights into ``features`` and, where they hold it, into the final ``norm``.

    A file may hold the state dict of the timm network, the layout of the network's authors where
    timm can convert it (Swin, ConvNeXt and others), or, when no name agrees, the same tensors
    in the same order.

    Args:
        features: timm's feature extractor.
        norm: Layer norm on the returned stage, or a module without parameters.
        name: timm model name.
        source: ``imagenet``, or the path of a ``.pth`` or ``.safetensors`` file.
        model_args: Arguments that the network was built with.

    Raises:
        DiffBEVError: the weights cannot be had, or do not cover the whole backbone.
    """
    whole = _create_whole(name, source == "imagenet", model_args)
    published: Mapping[str, Tensor] = whole.state_dict()
    targets = _targets(features, norm, published)
    if source != "imagenet":
        state = read_state_dict(Path(source))
        published = _rename(state, published, targets.keys(), whole, f"{source} does not fit {name}")
    with torch.no_grad():
        for key, target in targets.items():
            target.copy_(published[key])
    _log.info("backbone %s: %d tensors loaded from %s", name, len(targets), source)


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a checkpoint without executing anything in it.

    Raises:
        DiffBEVError: a missing file, or one that is not a plain checkpoint of tensors.
    """
    if not path.is_file():
        raise DiffBEVError(
            f"model.backbone.pretrained: {path} does not exist. Set it to the path of a checkpoint."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            checkpoint: Any = load_file(path)
        else:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise many kinds on damaged files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DiffBEVError(
            f"{path} is not a checkpoint that can be read safely ({reason}). It must be a state dict of "
            "tensors as written by torch.save, or a .safetensors file; download it again if it is damaged."
        ) from error
    for key in _CONTAINERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    tensors = dict(checkpoint) if isinstance(checkpoint, Mapping) else {}
    tensors = {key: value for key, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        raise DiffBEVError(f"{path} holds no state dict. Give a checkpoint of the backbone's weights.")
    return tensors


def _create_whole(name: str, pretrained: bool, model_args: dict[str, Any]) -> nn.Module:
    if not pretrained:
        return timm.create_model(name, **model_args)
    try:
        return timm.create_model(name, pretrained=True, **model_args)
    except Exception as error:  # network, cache, hub and format errors of several libraries
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
        where = config.hf_hub_id if config is not None and config.hf_hub_id else name
        raise DiffBEVError(
            f"cannot get timm's ImageNet weights of {name}: {error} On a machine with network access, "
            f"download model.safetensors of {where!r} (or the authors' .pth) and set "
            "model.backbone.pretrained to the path of that file; "
            "model.backbone.pretrained=null starts from random weights instead."
        ) from error


def _targets(features: nn.Module, norm: nn.Module, whole: Mapping[str, Tensor]) -> StateDict:
    """Tensors of the backbone under the names of the whole network."""
    names = {key.replace(".", "_"): key for key in whole}
    targets: StateDict = {}
    for key, tensor in features.state_dict(keep_vars=True).items():
        # timm's feature wrappers write layers_0 for layers.0, or put "model." in front.
        flat = key.removeprefix("model.").replace(".", "_")
        targets[names[flat]] = tensor
    for key, tensor in norm.state_dict(prefix="norm.", keep_vars=True).items():
        # The published norm belongs to the deepest stage; on any other it starts fresh.
        if key in whole and whole[key].shape == tensor.shape:
            targets[key] = tensor
    return targets


def _rename(
    state: StateDict, whole: Mapping[str, Tensor], required: Collection[str], model: nn.Module, what: str
) -> Mapping[str, Tensor]:
    """``state`` under the names of the whole network, complete for ``required``."""
    named = _convert(state, model)
    mismatches = _mismatches(named, whole, required)
    if not mismatches:
        return named
    for keys in (list(whole), [key for key in whole if key in required]):
        same_shapes = [value.shape for value in state.values()] == [whole[key].shape for key in keys]
        if same_shapes and state.keys().isdisjoint(whole):
            _log.warning("tensor names differ; matched %d tensors by order (all shapes agree)", len(keys))
            return dict(zip(keys, state.values(), strict=True))
    shown = "; ".join(mismatches[:_SHOWN_MISMATCHES])
    raise DiffBEVError(
        f"{what}: {len(mismatches)} of {len(required)} tensors are missing or of another shape ({shown}). "
        "Set model.backbone.name to the network that this file belongs to, or give another file."
    )


def _convert(state: StateDict, model: nn.Module) -> StateDict:
    """Names of the network's authors to timm's, by the filter that timm keeps next to each network."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return convert(dict(state), model)
    except (AttributeError, KeyError, IndexError, RuntimeError, ValueError, AssertionError):
        return state  # another network's file; the comparison of names states what differs


def _mismatches(
    state: Mapping[str, Tensor], whole: Mapping[str, Tensor], required: Collection[str]
) -> list[str]:
    found = []
    for key in required:
        wanted = tuple(whole[key].shape)
        if key not in state:
            found.append(f"{key} {wanted} is missing")
        elif tuple(state[key].shape) != wanted:
            found.append(f"{key} is {tuple(state[key].shape)} in the file and {wanted} in the network")
    return found
