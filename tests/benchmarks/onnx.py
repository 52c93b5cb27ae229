"""What exported networks differ by: ``python -m tests.benchmarks.onnx [CHECKPOINT…]``, a Markdown table.

The nuScenes presets at their full size, with random weights, and any checkpoints that are named; each with 1
and 3 steps and with batches of 1 and 6, compared by ``export`` itself with two cameras.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from diffbev_engine.config.load import load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.grid import FEATURE_GRID
from diffbev_engine.export.export import export_model
from diffbev_engine.models.model import BEVModel, build_model
from diffbev_engine.models.settings import DiffusionSettings
from diffbev_engine.predict.prediction import load
from tests.tiny import save_weights

PRESETS = (
    "baseline/lss_swin_nuscenes",
    "diffbev/diffbev_lss_swin_nuscenes",
    "diffbev/diffbev_published_nuscenes",
)


def main(checkpoints: list[Path]) -> None:
    """Print the table, a row as soon as it is measured."""
    print("| network | batch | steps | largest difference | decided otherwise | time | size |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in _networks(Path(folder), checkpoints):
            for batch in (1, 6):
                for steps in (1, 3):
                    diffusion = load(checkpoint, "cpu").settings.model.diffusion
                    if (diffusion is None or diffusion.process == "none") and steps > 1:
                        continue
                    if needed := _attention_bytes(diffusion, batch):
                        need = f"not measured: needs {byte_size(needed)} of memory"
                        print(f"| `{name}` | {batch} | {steps} | {need} | | | |")
                        continue
                    print(_row(name, checkpoint, Path(folder) / "model.onnx", batch, steps), flush=True)


def _networks(folder: Path, checkpoints: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in checkpoints:
        yield path.parent.name, path
    for preset in PRESETS:
        settings = load_settings(preset, ("model.backbone.pretrained=None",))
        yield preset, save_weights(random_network(settings), folder / preset.replace("/", "_"), settings)


def random_network(settings: Settings) -> BEVModel:
    """A network of which no layer is the identity or zero, as after some training."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = build_model(settings.model, settings.data.image_size)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def _attention_bytes(diffusion: DiffusionSettings | None, batch: int) -> int:
    """What attention over all cells takes where it is written out; 0 if this machine has that much."""
    if diffusion is None or diffusion.fusion.type != "cross_attn":
        return 0
    cells = FEATURE_GRID.rows * FEATURE_GRID.cols
    weights = batch * diffusion.fusion.heads * cells * (cells // diffusion.fusion.key_stride**2)
    needed = 3 * 4 * weights  # products, their softmax, and one more at a time
    return needed if needed > psutil.virtual_memory().available else 0


def _row(name: str, checkpoint: Path, path: Path, batch: int, steps: int) -> str:
    model = load(checkpoint, "cpu")
    count = steps if model.settings.model.diffusion is not None else None
    started = time.monotonic()
    try:
        made = export_model(model, path, "onnx", batch=batch, steps=count)
    except DiffBEVError as error:
        return f"| `{name}` | {batch} | {count or '–'} | {error} | | | |"
    seconds = time.monotonic() - started
    decided = f"{made.flipped} of {made.decisions:,}"
    facts = f"{made.difference:.1e} | {decided} | {seconds:.0f} s | {byte_size(made.size)}"
    return f"| `{name}` | {batch} | {count or '–'} | {facts} |"


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
