"""How much GPU memory a batch will take, before anything was measured on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffbev_engine.config.settings import Settings

_PIXELS = 600 * 800
# MiB with Swin-T on one H200, bf16: at 600 x 800 a baseline took 8.2 GiB for a batch of 8 and 4.3 for 4,
# compiled or not; at 256 x 448 a batch of 8 takes 3.6 GiB less.  The difference belongs to the image, the
# rest to BEV, whatever the image.
_FIXED, _PER_IMAGE, _PER_BEV = 490.0, 610.0, 385.0
_FP32 = 1.8  # 14.5 GiB for a batch of 8
_DIFFUSION_FIXED, _DIFFUSION = 160.0, 250.0  # 2.1 GiB more for a batch of 8, at both sizes
_CONTEXT = 1024.0  # CUDA context, cuDNN, fragmentation

WORKER_MIB = 450.0
"""Resident memory of a loader process; it shares much with its parent, but not for long."""

RECOMPUTED = {"backbone": 0.5, "diffusion": 0.05, "head": 0.15}
"""Share of a sample's memory that recomputing each part saves: of 1.1 GiB that the operations of a Swin-T
network keep at 600 x 800, 0.62 belong to the backbone, 0.25 to the head, 0.08 to the diffusion; less what one
block needs while it works."""

IMAGE_SHARE = _PER_IMAGE / (_PER_IMAGE + _PER_BEV)
"""Share of the memory of a 600 x 800 sample that grows with the image."""


@dataclass(frozen=True)
class Estimate:
    """An estimate of the memory of training, MiB."""

    fixed: float
    per_sample: float

    def at(self, batch: int) -> float:
        """Expected use of the GPU, its context included."""
        return _CONTEXT + self.fixed + self.per_sample * batch


def estimate_memory(settings: Settings) -> Estimate | None:
    """From what was measured with Swin-T; ``None`` for another backbone."""
    if not settings.model.backbone.name.startswith("swin_tiny"):
        return None
    height, width = settings.data.image_size
    per_sample = _PER_IMAGE * height * width / _PIXELS + _PER_BEV
    diffusion = settings.model.diffusion is not None
    factor = _FP32 if settings.precision == "fp32" else 1.0
    factor *= 1 - sum(RECOMPUTED[part] for part in set(settings.recompute))
    fixed = _FIXED + diffusion * _DIFFUSION_FIXED
    return Estimate(fixed, factor * (per_sample + diffusion * _DIFFUSION))
