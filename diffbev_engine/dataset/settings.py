"""Settings of the loader."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from diffbev_engine.core.cameras import standard_cameras
from diffbev_engine.core.settings_base import StrictSettings


class DataSettings(StrictSettings):
    """What is loaded, at which size, by how many workers."""

    samples_per_gpu: PositiveInt = 4
    """Batch size of one process."""
    workers_per_gpu: NonNegativeInt = 4
    """Loader processes of one training process; 0 loads in the training process."""
    image_size: Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)] = (600, 800)
    """(height, width) in pixels that images are resized to; intrinsics follow."""
    cameras: Annotated[str, BeforeValidator(standard_cameras)] = "all"
    """Which of the prepared images are used: ``front``, ``all`` in ``index.jsonl``, or channels by name."""
    mask: Literal["pon", "fov"] = "pon"
    """Ignore mask of training: ``pon`` drops cells hidden from LiDAR, ``fov`` only those outside the view."""
    photometric: bool = True
    """Random brightness, contrast, saturation and hue on training images."""
    load_depth: bool = False
    """Also load LiDAR depth ground truth."""
    frame_cache: Annotated[Path | None, Field(strict=False)] = None
    """Folder on a fast disk for resized images, so that each is decoded once and not in every epoch; 1.4 MB
    each at 600x800. ``None``: they are decoded every time, which a few cores do fast enough for most GPUs."""
