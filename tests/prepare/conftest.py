"""The made-up tables of the nuScenes tests serve here too."""

from tests.nuscenes.conftest import tiny_nuscenes

__all__ = ["tiny_nuscenes"]
