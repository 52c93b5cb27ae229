"""A data root of two cameras whose labels have true wedges, and a network that has learned it."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from diffbev_engine.config.load import dump_config
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.dataset.records import read_records
from diffbev_engine.dataset.sample import collate, load_sample
from diffbev_engine.findings.prediction.run import DiagnoseJob, diagnose
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.model import build_model
from diffbev_engine.models.photometric import normalise
from diffbev_engine.prepare.encoding import encode_label, read_label, write_label
from diffbev_engine.prepare.masks import fov_mask
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.checkpoint import Best, Checkpoint
from diffbev_engine.train.saving import save_checkpoint
from tests.once import made_once

IMAGES = 4
FOCAL = {"CAM_FRONT": 80.0, "CAM_BACK": 52.0}
SIZE = (64, 96)
"""Height and width of the images."""
STEPS = 60


@pytest.fixture(scope="session")
def learned_root(tmp_path_factory):
    """Four validation images; nothing in their labels is symmetric."""
    root = tmp_path_factory.mktemp("learned_root")
    calibration, index = {}, []
    for folder in ("img_dir", "ann_bev_dir"):
        (root / folder / "val").mkdir(parents=True)
    for number in range(IMAGES):
        token, camera = f"{number:032d}", list(FOCAL)[number % 2]
        intrinsics = np.array([[FOCAL[camera], 0, 48.0], [0, FOCAL[camera], 32.0], [0, 0, 1]])
        _write_sample(root, token, intrinsics, np.random.default_rng(number))
        calibration[token] = intrinsics.tolist()
        entry = {"token": token, "camera": camera, "scene": "scene-0061", "split": "val"}
        index.append(entry | {"sample": token, "timestamp": number, "location": "boston-seaport"})
    (root / "calib.json").write_text(json.dumps(calibration))
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    return root


def _write_sample(root, token, intrinsics, rng):
    image = cv2.resize(rng.integers(0, 255, (4, 6, 3), np.uint8), SIZE[::-1])
    cv2.imwrite(str(root / "img_dir/val" / f"{token}.jpg"), image)
    classes = np.zeros((14, *LABEL_GRID.shape), bool)
    reach, left = rng.integers(60, 110), rng.integers(60, 100)
    classes[0, :reach, left : left + 70] = True  # a road, long or short, left or right
    row, col = rng.integers(30, 50), rng.integers(80, 110)
    classes[4, row : row + 14, col : col + 14] = True
    classes[9, row + 18 : row + 26, col : col + 8] = True
    outside = ~fov_mask(intrinsics, SIZE[1], LABEL_GRID)
    hidden = outside.copy()
    hidden[rng.integers(150, 180) :] = True
    write_label(root / "ann_bev_dir/val" / f"{token}.png", encode_label(classes, hidden, outside))


@pytest.fixture(scope="session")
def settings(tiny_settings, learned_root):
    content = tiny_settings.model_dump()
    content["data_root"] = learned_root
    content["data"]["cameras"] = "all"
    return type(tiny_settings).model_validate(content)


@pytest.fixture(scope="session")
def learned_weights(settings, tmp_path_factory):
    """The images, learned by heart."""
    path = made_once(tmp_path_factory, "learned_weights", lambda path: torch.save(_learned(settings), path))
    return torch.load(path, weights_only=True)


def _learned(settings):
    batch = collate([load_sample(each, SIZE) for each in read_records(settings.data_root, "val", "all")])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(settings.model, SIZE)
        loss_of = SegmentationLoss(settings.model.loss)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        images = normalise(batch.images, model.pixel_mean, model.pixel_std)
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits = model(images, batch.intrinsics).logits
            loss_of(logits, batch.classes(), batch.valid("pon"), batch.known).backward()
            optimizer.step()
    return model.state_dict()


@pytest.fixture
def root(learned_root, tmp_path):
    """A copy of the root that a test may corrupt."""
    return shutil.copytree(learned_root, tmp_path / "root")


@pytest.fixture
def rewrite(root):
    """Change every label of ``root`` by a function of its (196, 200) uint16 array."""

    def apply(change):
        for path in sorted((root / "ann_bev_dir/val").iterdir()):
            write_label(path, np.ascontiguousarray(change(read_label(path)).astype(np.uint16)))

    return apply


@pytest.fixture
def checkpoint(learned_weights, tmp_path):
    """Writes the learned weights as a checkpoint, after a function has changed them in place."""

    def save(change=lambda _weights: None):
        weights = {name: value.clone() for name, value in learned_weights.items()}
        change(weights)
        optimizer, meter = {"state": {}, "param_groups": []}, {"sums": {}, "count": 0}
        kept = {"optimizer": optimizer, "scaler": {}, "meter": meter, "random": [], "settings": {}}
        whole = Checkpoint(iteration=6, model=weights, best=Best(), evaluated=True, **kept)
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return save_checkpoint(RunFolder(folder), whole, is_best=False, keep=1)

    return save


@pytest.fixture
def config(settings, root, tmp_path):
    """The configuration file of ``root``."""
    path = tmp_path / "tiny.py"
    path.write_text(dump_config(settings.model_copy(update={"data_root": root})))
    return path


@pytest.fixture
def examine(settings, root, checkpoint, tmp_path):
    """Diagnose ``root`` with the learned weights, changed in place by a function."""

    def run(change=lambda _weights: None, say=lambda _line: None, **job):
        at_root = settings.model_copy(update={"data_root": root})
        out = tmp_path / "out"
        return diagnose(DiagnoseJob(at_root, "tiny.py", checkpoint(change), out, device="cpu", **job), say)

    return run
