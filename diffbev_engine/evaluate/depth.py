"""Metrics of the lift's depth distribution, streamed over a split.

Depth is measured wherever the split has ground truth at the size of the images, whatever
``data.load_depth`` says: only so can a baseline be compared with a model that depth supervises.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from diffbev_engine.dataset.records import SampleRecord, coverage_of
from diffbev_engine.evaluate.result import DepthScores
from diffbev_engine.models.depth import depth_errors, depth_target
from diffbev_engine.models.model import BEVModel


class DepthStream:
    """Adds up depth errors on the device."""

    def __init__(self, model: BEVModel, device: torch.device) -> None:
        """Measure the depth of ``model``'s lift, on its own features and candidates."""
        self._candidates = model.lift.depths.float().to(device)  # D
        self._feature_size = model.lift.feature_size
        self._stride = model.backbone.stride
        # Features, |error| / truth, squared error, within a factor of 1.25, images
        self._sums = torch.zeros(5, dtype=torch.float64, device=device)

    def add(self, depth_logits: Tensor, sparse: Tensor) -> None:
        """Count one batch.

        Args:
            depth_logits: (B, D, h, w) unnormalised scores of the depth bins.
            sparse: (B, H, W) metres, 0 where there is no point; an image without any counts nothing.
        """
        target = depth_target(sparse, self._candidates, self._feature_size, self._stride)
        errors = depth_errors(depth_logits, target, self._candidates)
        images = target.supervised.flatten(1).any(dim=1).sum().double()
        self._sums += torch.stack([*errors, images])

    def result(self) -> DepthScores | None:
        """Means over all processes; ``None`` when no feature had a point.  Waits for the device."""
        sums = self._sums.clone()
        if distributed.is_initialized():
            distributed.all_reduce(sums)
        features, relative, squared, within, images = sums.tolist()
        if not features:
            return None
        return DepthScores(
            absolute_relative=relative / features,
            rmse=(squared / features) ** 0.5,
            within_quarter=within / features,
            features=int(features),
            images=int(images),
        )


def depth_obstacle(records: Sequence[SampleRecord], image_size: tuple[int, int]) -> str | None:
    """Why these samples have no usable depth ground truth; ``None`` if they have."""
    found = coverage_of(records, image_size) if records else None
    if found is None or not found.present:
        return "no ground truth (`diffbev-engine prepare-depth` writes it)"
    if found.wrong_size:
        sizes = " x ".join(map(str, found.wrong_size)), " x ".join(map(str, image_size))
        holds = f"{found.directory.name} holds {sizes[0]}, the images are {sizes[1]}"
        return f"no ground truth at this size ({holds})"
    return None
