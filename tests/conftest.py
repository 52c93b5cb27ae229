import os
from pathlib import Path

import pytest

_DEFAULT_SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "nuscenes"


@pytest.fixture(scope="session")
def nuscenes_sample() -> Path:
    """Two real nuScenes scenes (CC BY-NC-SA 4.0, so never part of this repository)."""
    root = Path(os.environ.get("DIFFBEV_NUSCENES_SAMPLE", _DEFAULT_SAMPLE))
    if not (root / "v1.0-mini").is_dir():
        pytest.skip(f"no nuScenes sample at {root}; set DIFFBEV_NUSCENES_SAMPLE to a nuScenes root")
    return root
