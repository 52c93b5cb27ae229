"""Settings of evaluation."""

from typing import Literal

from pydantic import PositiveInt

from diffbev_engine.core.settings_base import StrictSettings


class EvaluationSettings(StrictSettings):
    """When evaluation runs during training, and how it scores."""

    interval: PositiveInt = 20_000
    """Iterations between evaluations; a run longer than this is also evaluated at its end."""
    metric: Literal["mIoU"] = "mIoU"
    mask: Literal["pon", "fov"] = "pon"
    """Ignore mask of the reported mIoU; the other one is reported next to it."""
    samples_per_gpu: PositiveInt | None = None
    """Batch size of evaluation; ``None`` takes the one of training."""
