"""Compiled ahead of time against eager: a Markdown table.

``python -m tests.benchmarks.aot [--packages FOLDER] [CHECKPOINT…]``; what was compiled into FOLDER before is
used again.  What ``export --format torch`` gives, compiled by AOTInductor for the first GPU (the CPU where
there is none), and the network itself: milliseconds for one image in single precision, medians of rounds.
Where loading a package crashes within ``std::regex``, the C++ library of the compiler that made it has to
come first: ``LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libstdc++.so.6``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from diffbev_engine.config.load import load_settings
from diffbev_engine.export.deployable import Deployable
from diffbev_engine.models.compiled import as_if_compiled
from diffbev_engine.predict.prediction import load
from tests.benchmarks.onnx import PRESETS, random_network
from tests.tiny import save_weights

_CAMERA = ((0.7915, 0.0, 0.5102), (0.0, 1.4071, 0.5461), (0.0, 0.0, 1.0))
"""nuScenes' front camera, in widths and heights of an image.  None whose features fall on the borders of
cells, where the last digit decides."""
_ROUNDS, _CALLS, _WARM_UP = 7, 10, 5


def main(checkpoints: list[Path], packages: Path | None) -> None:
    """Print the table, a row as soon as it is measured."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False  # single precision on both sides
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, torch {torch.__version__}\n")
    print(
        "| network | steps | eager | compiled | ratio | largest difference | decided otherwise | built in |\n"
        + "|---" * 8
        + "|"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = packages or folder
        kept.mkdir(parents=True, exist_ok=True)
        for preset in [] if checkpoints else PRESETS:
            settings = load_settings(preset, ("model.backbone.pretrained=None",))
            checkpoints.append(
                save_weights(random_network(settings), folder / preset.replace("/", "_"), settings)
            )
        for checkpoint in checkpoints:
            print(_row(checkpoint, kept / f"{checkpoint.parent.name}.pt2", device), flush=True)


def _row(checkpoint: Path, package: Path, device: torch.device) -> str:
    model = load(checkpoint, "cpu")
    diffusion = model.settings.model.diffusion
    steps = diffusion.steps if diffusion is not None else 1
    network = Deployable(model.model, steps, None).to(device)
    height, width = model.settings.data.image_size
    camera = torch.tensor(_CAMERA) * torch.tensor([[width], [height], [1.0]])
    inputs = {name: tensor.to(device) for name, tensor in network.example(1, camera, 0).items()}
    with torch.inference_mode():
        expected = network(**inputs)[0]
        eager = _milliseconds(lambda: network(**inputs), device)
    network.make_portable()
    seconds = "before"
    if not package.exists():
        started = time.perf_counter()
        with torch.no_grad(), as_if_compiled(False):
            program = torch.export.export(network, (), inputs)
            torch._inductor.aoti_compile_and_package(program, package_path=str(package))
        seconds = f"{time.perf_counter() - started:.0f} s"
    compiled = torch._inductor.aoti_load_package(str(package))
    found = compiled(**inputs)[0]
    difference = (found - expected).abs().max().item()
    flipped = ((found > 0.5) != (expected > 0.5)).sum().item()
    fast = _milliseconds(lambda: compiled(**inputs), device)
    name, ratio = checkpoint.parent.name, eager / fast
    shown = steps if diffusion is not None else "–"
    times = f"{eager:.1f} ms | {fast:.1f} ms | {ratio:.2f}"
    apart = f"{difference:.1e} | {flipped} of {expected.numel():,}"
    return f"| `{name}` | {shown} | {times} | {apart} | {seconds} |"


def _milliseconds(run: Callable[[], object], device: torch.device) -> float:
    """Median over rounds of the mean time of a call."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(_WARM_UP):
        run()
    rounds = []
    for _ in range(_ROUNDS):
        wait()
        started = time.perf_counter()
        for _ in range(_CALLS):
            run()
        wait()
        rounds.append((time.perf_counter() - started) / _CALLS * 1e3)
    return statistics.median(rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--packages", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="*")
    given = parser.parse_args()
    main(given.checkpoints, given.packages)
