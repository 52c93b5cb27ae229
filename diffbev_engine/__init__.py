"""DiffBEV: bird's-eye-view segmentation on nuScenes, from raw data to an evaluated model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from diffbev_engine.predict.prediction import TrainedModel

__version__ = "0.2.0"


def load(checkpoint: "Path | str", device: str = "", *, compiled: bool = False) -> "TrainedModel":
    """A trained model by its checkpoint, ready to ``predict``; see ``predict.prediction.load``."""
    from diffbev_engine.predict.prediction import load as load_model

    return load_model(checkpoint, device, compiled=compiled)
