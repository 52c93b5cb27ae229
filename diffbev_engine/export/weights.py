"""The weights of a checkpoint alone, as safetensors, with the settings that rebuild the network."""

import json
from pathlib import Path

from safetensors.torch import save

from diffbev_engine import __version__
from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_bytes
from diffbev_engine.train.checkpoint import load_checkpoint

SUFFIX = ".safetensors"


def export_weights(checkpoint: Path, path: Path) -> int:
    """Write the weights that an evaluation takes, the moving average where there is one; how many bytes.

    The metadata holds ``settings`` and ``classes`` as JSON, ``diffbev_version`` and ``iteration``.

    Raises:
        DiffBEVError: a missing or damaged checkpoint, or a file that cannot be written.
    """
    loaded = load_checkpoint(checkpoint)
    about = {
        "format": "pt",
        "settings": json.dumps(loaded.settings),
        "classes": json.dumps(CLASSES),
        "diffbev_version": __version__,
        "iteration": str(loaded.iteration),
    }
    tensors = {name: tensor.contiguous() for name, tensor in loaded.evaluated_weights.items()}
    content = save(tensors, about)
    try:
        write_bytes(path, content)
    except OSError as error:
        raise DiffBEVError(f"cannot write {path}: {error.strerror or error}.") from error
    return len(content)
