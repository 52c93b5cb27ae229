import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.core.classes import CATEGORY_TO_CLASS, CLASSES
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.rig import transform
from diffbev_engine.synth.synthesize import synthesize

WIDTH = 80


@pytest.mark.slow
def test_a_world_of_forty_frames_shows_every_class_in_training_and_validation(tmp_path: Path):
    summary = synthesize(SynthJob(tmp_path / "world", scenes=8, samples_per_scene=5, image_size=(45, WIDTH)))
    frames = _frames_with(summary.root)
    for part in (set(summary.val_scenes), set(summary.scenes) - set(summary.val_scenes)):
        counts = sum((frames[scene] for scene in part), Counter())
        assert min(counts[name] for name in CLASSES[4:]) >= 3, counts
    total = sum(frames.values(), Counter())
    assert min(total[name] for name in CLASSES[4:]) >= 10, total
    assert total["none"] >= 10  # categories outside the ten classes occur as well


def _frames_with(root: Path) -> dict[str, Counter]:
    """Frames of each scene with an object of a class on the label grid that the LiDAR met."""
    tables = {
        path.stem: {row["token"]: row for row in json.loads(path.read_text())}
        for path in (root / "v1.0-mini").glob("*.json")
    }
    boxes = defaultdict(list)
    for row in tables["sample_annotation"].values():
        boxes[row["sample_token"]].append(row)
    frames: dict[str, Counter] = defaultdict(Counter)
    for data in tables["sample_data"].values():
        sensor = tables["calibrated_sensor"][data["calibrated_sensor_token"]]
        if not sensor["camera_intrinsic"]:
            continue
        pose = tables["ego_pose"][data["ego_pose_token"]]
        world_from_camera = transform(pose["rotation"], pose["translation"]) @ transform(
            sensor["rotation"], sensor["translation"]
        )
        camera = np.linalg.inv(world_from_camera)
        scene = tables["scene"][tables["sample"][data["sample_token"]]["scene_token"]]["name"]
        found = set()
        for row in boxes[data["sample_token"]]:
            x, y, z = camera[:3, :3] @ row["translation"] + camera[:3, 3]
            u = (np.array(sensor["camera_intrinsic"]) @ [x, y, z])[0] / z
            on_grid = LABEL_GRID.z_min < z < LABEL_GRID.z_max and abs(x) < LABEL_GRID.x_max and 0 < u < WIDTH
            if on_grid and row["num_lidar_pts"]:
                category = tables["category"][tables["instance"][row["instance_token"]]["category_token"]]
                found.add(CATEGORY_TO_CLASS.get(category["name"], "none"))
        frames[scene].update(found)
    return frames
