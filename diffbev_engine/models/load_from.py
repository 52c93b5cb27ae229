"""``load_from``: a run that starts from the weights of another one."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from torch import nn

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.weights_file import StateDict, other_shapes, read_state_dict

SETTING = "load_from"
PACKAGED = {
    f"demo/{name}": Path(__file__).parent.parent / "weights" / f"demo_{name}.safetensors"
    for name in ("baseline", "diffbev")
}
"""Weights that come with this package: those of the demo's two networks."""
_SHOWN = 3
_log = logging.getLogger(__name__)


def read_weights(source: str) -> StateDict:
    """The weights of ``source``: a checkpoint of a run, safetensors, or a name of ``PACKAGED``.

    Of a run that kept a moving average of its weights, that average.

    Raises:
        DiffBEVError: a missing or unreadable file.
    """
    return read_state_dict(PACKAGED.get(source, Path(source)), SETTING)


def load_from(model: nn.Module, source: str) -> None:
    """Give ``model`` the weights of ``source``; parts that it has alone keep theirs, and are named.

    Raises:
        DiffBEVError: a missing or unreadable file.
        UsageError: weights of other shapes, or of nothing that the model has.
    """
    weights, own = read_weights(source), model.state_dict()
    common = own.keys() & weights.keys()
    if not common:
        raise UsageError(f"{SETTING}: {source} holds nothing of this network. Give a checkpoint of a run.")
    if wrong := other_shapes(own, weights):
        raise UsageError(
            f"{SETTING}: {source} is of another network: {len(wrong)} of {len(common)} tensors have other "
            f"shapes ({'; '.join(wrong[:_SHOWN])})."
        )
    model.load_state_dict({name: weights[name] for name in common}, strict=False)
    _log.info("load_from: %d tensors loaded from %s", len(common), source)
    for told, names in (
        ("not in it, and as they would be without it", own.keys() - common),
        ("not in this network, and left out", weights.keys() - common),
    ):
        if names:
            _log.warning("load_from: %s: %s", told, _parts(names))


def _parts(names: Iterable[str]) -> str:
    """Such as ``diffusion (120 tensors)``."""
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{part} ({count} tensors)" for part, count in sorted(counts.items()))
