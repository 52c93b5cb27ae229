"""``predict``: what a model sees in images and videos, written as pictures, arrays and outlines."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import atomic_path, make_writable_dir, write_bytes, write_text
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.evaluate.counts import THRESHOLD
from diffbev_engine.predict.calibration import CameraOf
from diffbev_engine.predict.frames import frames_of, list_files
from diffbev_engine.predict.polygons import as_coordinates
from diffbev_engine.predict.prediction import Prediction, TrainedModel

_FRAME = "camera: x to the right, z ahead, in metres; the camera is at (0, 0)"
_DPI = 110


@dataclass(frozen=True)
class Written:
    """The files of one frame."""

    name: str
    picture: Path
    arrays: Path
    outlines: Path


def predict_all(
    model: TrainedModel,
    sources: Sequence[Path],
    camera_of: CameraOf,
    output_dir: Path,
    *,
    every: int = 1,
    say: Callable[[str], None] = lambda _line: None,
) -> Iterator[Written]:
    """Predict every frame and write ``NAME.png``, ``NAME.npz`` and ``NAME.json`` for each.

    Args:
        model: what predicts.
        sources: images, folders of images, videos.
        camera_of: the camera of each file.
        output_dir: made if it is missing.
        every: of a video, take one frame out of so many.
        say: receives one line per frame.

    Raises:
        UsageError: sources that cannot be used, before anything is predicted.
        DiffBEVError: a damaged file, or one that cannot be written; what was written before is kept.
    """
    files = list_files(sources)
    make_writable_dir(output_dir, "output directory")
    told: set[str] = set()
    for path in files:
        camera = camera_of(path.stem)
        for frame in frames_of(path, every):
            prediction = model.predict(frame.image[..., ::-1], camera, name=frame.name)
            try:
                written = write_prediction(prediction, output_dir, frame.name, model)
            except OSError as error:
                raise DiffBEVError(f"cannot write to {output_dir}: {error.strerror or error}.") from error
            say(f"✓ {written.picture}")
            if prediction.note and prediction.note not in told:
                told.add(prediction.note)
                say(f"⚠ {prediction.note}")
            yield written


def write_prediction(prediction: Prediction, folder: Path, name: str, model: TrainedModel) -> Written:
    """Write one frame, each file atomically.

    ``NAME.npz`` holds ``probability`` (14, 196, 200) float32, ``classes`` their names, ``intrinsics`` (3, 3)
    and ``image_size`` (width, height) of the undistorted image, ``grid`` (x_min, x_max, z_min, z_max, cell)
    in metres, ``checkpoint_sha256``.  ``NAME.json`` holds the outlines.
    """
    written = Written(name, *(folder / f"{name}.{suffix}" for suffix in ("png", "npz", "json")))
    size = [prediction.image.shape[1], prediction.image.shape[0]]
    arrays = io.BytesIO()
    grid = LABEL_GRID
    np.savez_compressed(
        arrays,
        probability=prediction.probability,
        classes=np.array(CLASSES),
        intrinsics=prediction.intrinsics,
        image_size=np.array(size),
        grid=np.array([grid.x_min, grid.x_max, grid.z_min, grid.z_max, grid.cell]),
        checkpoint_sha256=np.array(model.sha256),
    )
    write_bytes(written.arrays, arrays.getvalue())
    found = {
        label: [as_coordinates(polygon) for polygon in polygons]
        for label, polygons in prediction.polygons().items()
        if polygons
    }
    about = {
        "frame": _FRAME,
        "image": name,
        "image_size": size,
        "intrinsics": prediction.intrinsics.tolist(),
        "threshold": THRESHOLD,
        "note": prediction.note,
        "checkpoint_sha256": model.sha256,
        "polygons": found,
    }
    write_text(written.outlines, json.dumps(about) + "\n")
    with atomic_path(written.picture) as temporary:
        prediction.draw().savefig(temporary, format="png", dpi=_DPI)
    return written
