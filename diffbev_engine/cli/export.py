"""``diffbev-engine export``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import json_option


def _batch(_ctx: click.Context, _param: click.Parameter, text: str) -> int | None:
    if text == "dynamic":
        return None
    from diffbev_engine.export.export import LARGEST_BATCH

    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_BATCH:
        raise click.BadParameter(f"{text!r} is neither a number from 1 to {LARGEST_BATCH} nor `dynamic`")
    return int(text)


@click.command(short_help="Write a trained network as ONNX, torch.export program or safetensors.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "torch", "safetensors"]),
    default="onnx",
    show_default=True,
    help='onnx needs pip install "diffbev[onnx]"; torch writes a .pt2 for torch.export.load; safetensors '
    "the weights alone, with the settings.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Default: next to the checkpoint, with the suffix of the format.",
)
@click.option(
    "--batch", default="1", show_default=True, callback=_batch, metavar="N|dynamic", help="Images at a time."
)
@click.option("--steps", type=click.IntRange(min=1), help="DDIM steps. [default: as in training]")
@click.option(
    "--intrinsics",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For this one camera alone; without it, intrinsics are an input. Forms as of `predict`.",
)
@click.option("--camera-id", help="Which of several cameras in a cameras.txt.")
@json_option
def command(
    checkpoint: Path,
    kind: str,
    output: Path | None,
    batch: int | None,
    steps: int | None,
    intrinsics: Path | None,
    camera_id: str | None,
    as_json: bool,
) -> None:
    """Write the network of CHECKPOINT as one file for other programs.

    Inputs: `image` (uint8 RGB, undistorted, at the network's size), `intrinsics` for that size, and the
    noise of a diffusion. Outputs: `probability` and `depth`. Normalisation and denoising are inside; grid,
    classes, sizes and the checkpoint's hash are in the metadata. The file is run and compared with the
    network before it is written.
    """
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.core.format import byte_size
    from diffbev_engine.export import weights
    from diffbev_engine.export.export import SUFFIXES, Format, export_model
    from diffbev_engine.predict.calibration import read_calibration
    from diffbev_engine.predict.prediction import load

    suffix = weights.SUFFIX if kind == "safetensors" else SUFFIXES["torch" if kind == "torch" else "onnx"]
    path = output or checkpoint.with_suffix(suffix)
    if path.resolve() == checkpoint.resolve():
        raise UsageError("--output is the checkpoint itself. Choose another file.")
    if kind == "safetensors":
        if steps is not None or intrinsics is not None or batch != 1:
            raise UsageError("--batch, --steps and --intrinsics belong to a program; safetensors holds none.")
        size = weights.export_weights(checkpoint, path)
        click.echo(
            json.dumps({"path": str(path), "size": size}) if as_json else f"✓ {path} ({byte_size(size)})"
        )
        return
    camera = read_calibration(intrinsics, camera_id)("") if intrinsics is not None else None
    if camera is not None and any(camera.distortion):
        click.echo("note: images have to be undistorted before the program sees them.", err=True)
    form: Format = "torch" if kind == "torch" else "onnx"
    result = export_model(load(checkpoint, "cpu"), path, form, batch=batch, steps=steps, camera=camera)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    click.echo(
        f"✓ {result.path} ({byte_size(result.size)})\n"
        f"largest difference from the network: {result.difference:.1e} in probability; "
        f"{result.flipped} of {result.decisions:,} decisions"
    )
