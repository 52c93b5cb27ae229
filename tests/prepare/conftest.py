"""The made-up tables of the nuScenes tests serve here too, with images and a map to prepare."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.nuscenes.conftest import tiny_nuscenes

__all__ = ["tiny_nuscenes"]


@pytest.fixture
def whole_nuscenes(tiny_nuscenes: Path) -> Path:
    """``tiny_nuscenes`` with real JPEGs of the size of the tables and a map of one large square."""
    rng = np.random.default_rng(0)
    for path in tiny_nuscenes.glob("samples/CAM_*/*.jpg"):
        cv2.imwrite(str(path), rng.integers(0, 255, (90, 160, 3), np.uint8))
    corners = [(-100.0, -100.0), (100.0, -100.0), (100.0, 100.0), (-100.0, 100.0)]
    nodes = [{"token": f"n{number}", "x": x, "y": y} for number, (x, y) in enumerate(corners)]
    polygon = {"token": "p", "exterior_node_tokens": [node["token"] for node in nodes], "holes": []}
    content = {
        "node": nodes,
        "polygon": [polygon],
        "drivable_area": [{"token": "d", "polygon_tokens": ["p"]}],
        **{layer: [{"token": layer, "polygon_token": "p"}] for layer in ("ped_crossing", "walkway")},
        "carpark_area": [{"token": "c", "polygon_token": "p"}],
        "version": "1.3",
    }
    maps = tiny_nuscenes / "maps" / "expansion"
    maps.mkdir(parents=True)
    (maps / "boston-seaport.json").write_text(json.dumps(content))
    return tiny_nuscenes
