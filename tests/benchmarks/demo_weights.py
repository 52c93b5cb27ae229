"""Trains the two networks of the demo and writes what the package brings along.

``python -m tests.benchmarks.demo_weights FOLDER``: a synthetic world of its own, 930 images of other streets
than those of the demo, 6,000 iterations each, on the first GPU (about six minutes on one H200).  Weights are
written in half precision, with the settings of the network.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from diffbev_engine.bench.synthetic import make_data_root
from diffbev_engine.cli.main import cli
from diffbev_engine.core.files import write_bytes
from diffbev_engine.models.load_from import PACKAGED
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.train.checkpoint import load_checkpoint

_ITERATIONS = 6000
_SETTINGS = (
    "data.samples_per_gpu=8",
    "data.workers_per_gpu=4",
    "precision=bf16",
    f"runner.max_iters={_ITERATIONS}",
    f"evaluation.interval={_ITERATIONS // 2}",
    f"checkpoint_config.interval={_ITERATIONS // 2}",
)
_PRESETS = {"demo/baseline": "baseline/lss_swin_demo", "demo/diffbev": "diffbev/diffbev_lss_swin_demo"}


def main(folder: Path) -> None:
    """Make the world below ``folder``, train, and write the files of ``PACKAGED``."""
    world = SynthJob(
        folder / "world",
        "v1.0-trainval",
        scenes=40,
        samples_per_scene=30,
        seed=4711,  # not the demo's
        image_size=(225, 400),
        workers=os.cpu_count() or 1,
    )
    make_data_root(world, (192, 320), print)
    for name, preset in _PRESETS.items():
        run = folder / preset.rpartition("/")[2]
        overrides = [part for each in (*_SETTINGS, f"data_root={world.out}") for part in ("--set", each)]
        cli(["train", preset, "--work-dir", str(run), "--anyway", *overrides], standalone_mode=False)
        write(run / "latest.pth", PACKAGED[name])


def write(checkpoint: Path, path: Path) -> None:
    """The weights of ``checkpoint`` in half precision, with its settings."""
    loaded = load_checkpoint(checkpoint)
    network = {"model": loaded.settings["model"], "image_size": loaded.settings["data"]["image_size"]}
    about = {"format": "pt", "settings": json.dumps(network), "iteration": str(loaded.iteration)}
    weights = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in loaded.evaluated_weights.items()
    }
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise SystemExit(f"{checkpoint}: a weight does not fit half precision")
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, save(weights, about))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
