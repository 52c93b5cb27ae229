"""DiffBEV: bird's-eye-view segmentation on nuScenes, from raw data to an evaluated model."""

__version__ = "0.2.0"
