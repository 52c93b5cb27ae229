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
from diffbev_engine.models.layouts import layouts, prefixes, same_order
from diffbev_engine.models.weights_file import StateDict, read_state_dict

_log = logging.getLogger(__name__)

_SHOWN_MISMATCHES = 4


def load_weights(
    features: nn.Module, norm: nn.Module, name: str, source: str, model_args: dict[str, Any]
) -> None:
    """Load published weights into ``features`` and, where they hold it, into the final ``norm``.

    A file may hold the state dict of the timm network, the layout of the network's authors where
    timm can convert it (Swin, ConvNeXt and others), or one of ``layouts``, under any prefix.

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
    targets, own = _targets(features, norm, published)
    if source != "imagenet":
        state = read_state_dict(Path(source))
        published = matched(state, whole, own, f"{source} does not fit {name}")
    with torch.no_grad():
        for key, target in targets.items():
            target.copy_(published[key])
    _log.info("backbone %s: %d tensors loaded from %s", name, len(targets), source)


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


def _targets(
    features: nn.Module, norm: nn.Module, whole: Mapping[str, Tensor]
) -> tuple[StateDict, dict[str, str]]:
    """Tensors of the backbone under the names of the whole network, and their names in our checkpoints."""
    names = {key.replace(".", "_"): key for key in whole}
    targets: StateDict = {}
    own: dict[str, str] = {}
    for key, tensor in features.state_dict(keep_vars=True).items():
        # timm's feature wrappers write layers_0 for layers.0, or put "model." in front.
        flat = key.removeprefix("model.").replace(".", "_")
        targets[names[flat]] = tensor
        own[names[flat]] = f"features.{key}"
    for key, tensor in norm.state_dict(prefix="norm.", keep_vars=True).items():
        # The published norm belongs to the deepest stage; on any other it starts fresh.
        if key in whole and whole[key].shape == tensor.shape:
            targets[key] = tensor
            own[key] = key
    return targets, own


def matched(
    state: StateDict, model: nn.Module, required: Mapping[str, str], what: str
) -> Mapping[str, Tensor]:
    """``state`` under the names of the timm network ``model``, complete for ``required``.

    ``required`` holds timm's names of the tensors, each with its name in our own checkpoints.

    Raises:
        DiffBEVError: beginning with ``what``: no known layout gives all tensors.
    """
    whole = model.state_dict()
    network = type(model).__name__
    own = {ours: key for key, ours in required.items()}
    nearest: tuple[list[str], StateDict] | None = None
    fitting: dict[str, StateDict] = {}
    for layout in layouts(network, next(iter(required)), own):
        for prefix in prefixes(state, layout):
            part = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
            named = _convert(layout.convert(part), model)
            mismatches = _mismatches(named, whole, required)
            if not mismatches:
                fitting.setdefault(prefix, named)
            elif nearest is None or len(mismatches) < len(nearest[0]):
                nearest = mismatches, named
    if fitting:
        return _only(fitting, required, what)
    by_order = _by_order(state, whole, required) if same_order(network, state) else None
    if by_order is not None:
        return by_order
    mismatches, named = nearest or (_mismatches(state, whole, required), state)
    raise DiffBEVError(_misfit(mismatches, [key for key in named if key not in whole], len(required), what))


def _only(fitting: Mapping[str, StateDict], required: Collection[str], what: str) -> StateDict:
    """The one network of a file that fits; copies of it under several names are one."""
    first, *others = fitting.values()
    for other in others:
        if not all(torch.equal(first[key], other[key]) for key in required):
            names = ", ".join(prefix or "(no prefix)" for prefix in fitting)
            raise DiffBEVError(f"{what}: it holds several networks ({names}). Save one of them alone.")
    return first


def _by_order(
    state: StateDict, whole: Mapping[str, Tensor], required: Collection[str]
) -> Mapping[str, Tensor] | None:
    """Tensors matched one by one; ``None`` unless all shapes and last parts of names agree."""
    for keys in (list(whole), [key for key in whole if key in required]):
        pairs = list(zip(keys, state, strict=False))
        if len(keys) == len(state) and all(
            whole[key].shape == state[other].shape and key.rpartition(".")[2] == other.rpartition(".")[2]
            for key, other in pairs
        ):
            _log.info("names differ: %d tensors matched by their order, which is known", len(keys))
            return {key: state[other] for key, other in pairs}
    return None


def _misfit(mismatches: list[str], unexpected: list[str], count: int, what: str) -> str:
    shown = "; ".join(mismatches[:_SHOWN_MISMATCHES])
    more = f" The file has {', '.join(unexpected[:_SHOWN_MISMATCHES])} instead." if unexpected else ""
    return (
        f"{what}: {len(mismatches)} of {count} tensors are missing or of another shape ({shown}).{more} "
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
