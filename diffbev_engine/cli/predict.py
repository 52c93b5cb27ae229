"""``diffbev-engine predict``."""

import json
from functools import partial
from pathlib import Path

import click

from diffbev_engine.cli.options import device_option, json_option


@click.command(short_help="Predict the map of your own images and videos.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--intrinsics",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Calibration of the camera: YAML of OpenCV, camera_info of ROS, cameras.txt of COLMAP, or "
    "calib.json of a data root.",
)
@click.option("--camera-id", help="Which of several cameras in a cameras.txt.")
@click.option("--fx", type=float, help="Instead of a file: focal lengths and principal point in pixels.")
@click.option("--fy", type=float)
@click.option("--cx", type=float)
@click.option("--cy", type=float)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for results; created if missing.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of a video, one frame out of so many.",
)
@device_option
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Make kernels for the GPU first, in a minute or two: worth it for long videos.",
)
@json_option
def command(
    checkpoint: Path,
    sources: tuple[Path, ...],
    intrinsics: Path | None,
    camera_id: str | None,
    fx: float | None,
    fy: float | None,
    cx: float | None,
    cy: float | None,
    output_dir: Path,
    every: int,
    device: str,
    compiled: bool,
    as_json: bool,
) -> None:
    """Predict what the model of CHECKPOINT sees in each SOURCE: images, folders of images, videos.

    No configuration is needed: the checkpoint holds its settings. For each frame, the output directory
    gets NAME.png (image next to map), NAME.npz (probabilities) and NAME.json (outlines in metres). Images
    of a lens that distorts are undistorted first.
    """
    numbers = (fx, fy, cx, cy)
    given = [number for number in numbers if number is not None]
    if (intrinsics is None) == (not given) or (given and len(given) < len(numbers)):
        raise click.UsageError("give either --intrinsics FILE, or all of --fx --fy --cx --cy.")
    import numpy as np

    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.predict.calibration import read_calibration
    from diffbev_engine.predict.camera import Camera
    from diffbev_engine.predict.predict import predict_all
    from diffbev_engine.predict.prediction import load

    if intrinsics is not None:
        camera_of = read_calibration(intrinsics, camera_id)
    else:
        try:
            camera = Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64))
        except ValueError as error:
            raise UsageError(f"--fx --fy --cx --cy: {error}.") from error
        camera_of = lambda _name: camera  # noqa: E731
    say = partial(click.echo, err=as_json)
    model = load(checkpoint, device, compiled=compiled)
    written = list(predict_all(model, sources, camera_of, output_dir, every=every, say=say))
    say(f"{len(written)} frames in {output_dir}")
    if as_json:
        files = [{key: str(value) for key, value in vars(one).items()} for one in written]
        click.echo(json.dumps(files, indent=1))
