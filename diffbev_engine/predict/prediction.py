"""A trained model by its checkpoint alone, and the map that it makes of one image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from shapely.geometry import Polygon

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.bev_plot import INK, draw_bev, draw_legend
from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.dataset.camera_ranges import CameraRanges
from diffbev_engine.dataset.sample import Batch, network_input
from diffbev_engine.evaluate.counts import THRESHOLD
from diffbev_engine.evaluate.network import network
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.run import model_of, settings_of
from diffbev_engine.findings.compiler import missing_for_compile, missing_libcuda
from diffbev_engine.models.model import BEVModel
from diffbev_engine.models.regions import compile_regions
from diffbev_engine.predict.camera import Camera
from diffbev_engine.predict.polygons import outlines
from diffbev_engine.prepare.image_file import read_image
from diffbev_engine.prepare.masks import fov_mask
from diffbev_engine.report.visualize import choose_device
from diffbev_engine.train.checkpoint import load_checkpoint

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Prediction:
    """What a model sees in one image."""

    probability: np.ndarray
    """(14, 196, 200) float32, as ``CLASSES`` are; row 0 is nearest, column 0 leftmost (``LABEL_GRID``)."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB, undistorted, as large as it was given."""
    intrinsics: np.ndarray
    """(3, 3) of ``image``, pixels."""
    note: str = ""
    """What to know before it is trusted: how the camera differs from those of training."""

    @cached_property
    def in_view(self) -> np.ndarray:
        """(196, 200) bool: cells that the camera sees; of the others a prediction says nothing."""
        return fov_mask(self.intrinsics, self.image.shape[1], LABEL_GRID)

    def classes(self) -> np.ndarray:
        """(14, 196, 200) bool: the decisions that are scored, within the view."""
        return (self.probability > THRESHOLD) & self.in_view

    def polygons(self) -> dict[str, list[Polygon]]:
        """Outlines by class: x (right) and z (ahead) in metres, camera frame, holes included."""
        return {name: outlines(plane) for name, plane in zip(CLASSES, self.classes(), strict=True)}

    def draw(self) -> Figure:
        """The image next to its map."""
        figure = Figure(figsize=(10.6, 4.8), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        camera, bev = figure.subplots(1, 2, width_ratios=(1.75, 1))
        camera.imshow(self.image)
        camera.set_axis_off()
        classes = self.classes()
        draw_bev(bev, classes, ~self.in_view, "prediction")
        bev.set_ylabel("distance ahead (m)", fontsize=8, color=INK)
        draw_legend(figure, classes.any(axis=(1, 2)), (), loc="outside lower center")
        return figure


class TrainedModel:
    """A network with its weights, ready to predict."""

    def __init__(
        self,
        model: BEVModel,
        settings: Settings,
        device: torch.device,
        checkpoint: Path,
        cameras: CameraRanges,
    ) -> None:
        self.model = model
        """The network, in evaluation mode."""
        self.settings = settings
        """Those it was trained with."""
        self.checkpoint = checkpoint
        """Where its weights are from."""
        self.cameras = cameras
        """Those of its training images."""
        self._image_size = settings.data.image_size
        self._device = device
        self._network = network(model, settings.precision, device)

    @cached_property
    def sha256(self) -> str:
        """Of the checkpoint's bytes, as hexadecimal digits."""
        digest = hashlib.sha256()
        with self.checkpoint.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @torch.inference_mode()
    def predict(
        self, image: np.ndarray | Path | str, intrinsics: np.ndarray | Camera, *, name: str = ""
    ) -> Prediction:
        """Predict the map of one image, as ``evaluate`` does.

        Args:
            image: (H, W, 3) uint8 RGB, or the path of a PNG or JPEG.
            intrinsics: (3, 3) for this very image, pixels; or a camera with its lens.
            name: what the noise of a diffusion belongs to; the same name, the same map. By default that of
                the file without its suffix.

        Raises:
            DiffBEVError: an image that cannot be read.
            UsageError: no image, or a camera that does not fit it.
        """
        if not isinstance(image, np.ndarray):
            name, image = name or Path(image).stem, read_image(Path(image))[..., ::-1]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UsageError(f"an image is (H, W, 3) uint8, not {image.shape} {image.dtype}.")
        try:
            camera = intrinsics if isinstance(intrinsics, Camera) else Camera(intrinsics)
            image = camera.undistort(np.ascontiguousarray(image))
            own = camera.scaled_to(image.shape[1], image.shape[0])
        except ValueError as error:
            raise UsageError(f"the image{f' {name}' if name else ''}: {error}.") from error
        resized, matrix = network_input(image, camera.matrix, camera.size, self._image_size)
        batch = _unlabelled(name, resized, matrix).to(self._device)
        with reproducible_kernels():
            logits = self._network(batch).logits  # 1 x 14 x Z x X
        probability = logits[0].float().sigmoid().cpu().numpy()
        size = image.shape[1], image.shape[0]
        return Prediction(probability, image, own, self.cameras.difference(own, size))


def load(checkpoint: Path | str, device: str = "", *, compiled: bool = False) -> TrainedModel:
    """Load a model by its checkpoint, which holds the settings that rebuild it.

    Args:
        checkpoint: ``best_mIoU.pth`` or another file of a run.
        device: ``cpu``, ``cuda`` or ``cuda:N``; empty: the first GPU, or the CPU where there is none.
        compiled: let torch.compile make kernels for the GPU: the first image takes a minute or two, later
            ones a fraction of their time; probabilities differ in the last digits of half precision.

    Raises:
        DiffBEVError: a missing or damaged checkpoint.
        UsageError: a file of another kind, a device that does not exist, or one that nothing is compiled for.
    """
    path = Path(checkpoint)
    chosen = choose_device(device, lambda _line: None)
    if compiled:
        _require_compiler(chosen)
    loaded = load_checkpoint(path)
    settings = settings_of(loaded, path)
    model = model_of(settings, loaded, path, chosen)
    if compiled:
        compile_regions(model)
    return TrainedModel(model, settings, chosen, path, CameraRanges.from_plain(loaded.cameras))


def _require_compiler(device: torch.device) -> None:
    if device.type != "cuda":
        raise UsageError("compiling is for a GPU; on the CPU leave it out.")
    if absent := missing_for_compile(on_gpu=True) or missing_libcuda():
        what, remedy = absent
        raise UsageError(f"{what.en}. {remedy.text.en}, or do not compile.")


def _unlabelled(name: str, image: np.ndarray, intrinsics: np.ndarray) -> Batch:
    """A batch of one image without ground truth."""
    return Batch(
        tokens=(name,),
        images=torch.from_numpy(image)[None].permute(0, 3, 1, 2),  # 1 x 3 x H x W
        intrinsics=torch.from_numpy(intrinsics)[None],
        label=torch.zeros(1, *LABEL_GRID.shape, dtype=torch.int32),
        known=torch.zeros(1, NUM_CLASSES, dtype=torch.bool),
        depth=None,
    )
