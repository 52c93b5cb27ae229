import gc
import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in parallel processes already

import cv2
import hypothesis
import numpy as np
import pytest

from diffbev_engine.cli.main import main
from diffbev_engine.config.settings import Settings
from diffbev_engine.prepare.encoding import encode_label, write_label

gc.set_threshold(50_000, 20, 100)  # torch, Textual and the rest stay; looking through them takes long

# The same few examples on every machine and in every run; `HYPOTHESIS_PROFILE=thorough` looks for new ones.
hypothesis.settings.register_profile("few", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

_DEFAULT_SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "nuscenes"


_SLOW_S = 15
"""What a slow test takes that does not say how long it does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, the longest before all: for one that begins last, all others wait.

    pytest-xdist gives each process one piece of the list, so each piece begins with its share of them;
    those of one file stay together, for they share fixtures.
    """
    files: dict[Path, list[pytest.Item]] = {}
    seconds: dict[Path, float] = {}
    for item in items:
        if marker := item.get_closest_marker("slow"):
            files.setdefault(item.path, []).append(item)
            seconds[item.path] = seconds.get(item.path, 0) + next(iter(marker.args), _SLOW_S)
    longest_first = [files[path] for path in sorted(files, key=lambda path: -seconds[path])]
    others = [item for item in items if not item.get_closest_marker("slow")]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    pieces = [[item for file in longest_first[at::processes] for item in file] for at in range(processes)]
    size = -(-len(items) // processes)
    items.clear()
    for piece in pieces:
        rest = max(size - len(piece), 0)
        items += [*piece, *others[:rest]]
        del others[:rest]
    items += others


def pytest_collection_finish() -> None:
    """What was imported stays; no collection has to look through it again."""
    gc.collect()
    gc.freeze()


Program = Callable[..., tuple[int, str]]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs ``diffbev-engine ARGUMENTS`` in this process; returns its exit code and all that it printed.

    An exception that users would see as a traceback is the test's own.
    """

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["diffbev-engine", *map(str, arguments)])
        monkeypatch.setenv("GOMP_SPINCOUNT", "2000")  # the program sets it; not for the tests that follow
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def nuscenes_sample() -> Path:
    """Two real nuScenes scenes (CC BY-NC-SA 4.0, so never part of this repository)."""
    root = Path(os.environ.get("DIFFBEV_NUSCENES_SAMPLE", _DEFAULT_SAMPLE))
    if not (root / "v1.0-mini").is_dir():
        pytest.skip(f"no nuScenes sample at {root}; set DIFFBEV_NUSCENES_SAMPLE to a nuScenes root")
    return root


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of 8 training and 5 validation images, written by the project's own writers."""
    root = tmp_path_factory.mktemp("tiny_root")
    calibration, index = {}, []
    for split, count in (("train", 8), ("val", 5)):
        for folder in ("img_dir", "ann_bev_dir"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            token = f"{split}{number:027d}"
            _write_tiny_sample(root, split, token, np.random.default_rng([number, count]))
            calibration[token] = [[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]]
            entry = {"token": token, "camera": "CAM_FRONT", "scene": "scene-0061", "split": split}
            index.append(entry | {"sample": token, "timestamp": number, "location": "boston-seaport"})
    (root / "calib.json").write_text(json.dumps(calibration))
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    return root


def _write_tiny_sample(root: Path, split: str, token: str, rng: np.random.Generator) -> None:
    """A bright block in the image where the label has a car, on drivable area everywhere near."""
    image = rng.integers(0, 80, (64, 96, 3), np.uint8)
    column = int(rng.integers(10, 70))
    image[20:50, column : column + 16] = 230
    cv2.imwrite(str(root / "img_dir" / split / f"{token}.jpg"), image)
    classes = np.zeros((14, 196, 200), bool)
    classes[0, :120] = True
    classes[4, 40:60, 2 * column : 2 * column + 30] = True
    outside = np.zeros((196, 200), bool)
    outside[:20, :40] = outside[:20, 160:] = True
    hidden = outside.copy()
    hidden[150:] = True
    write_label(root / "ann_bev_dir" / split / f"{token}.png", encode_label(classes, hidden, outside))


@pytest.fixture(scope="session")
def tiny_settings(tiny_root: Path) -> Settings:
    """A network that trains in milliseconds, in full precision on one CPU."""
    return Settings(
        data_root=tiny_root,
        model={
            "backbone": {"name": "resnet10t", "pretrained": None, "out_stage": 2},
            "lift": {"mode": "aligned", "channels": 8},
            "head": {"planes": (4, 4), "blocks": 1, "groups": 4},
        },
        data={"samples_per_gpu": 2, "workers_per_gpu": 0, "image_size": (64, 96), "cameras": "front"},
        lr_config={"warmup_iters": 2},
        runner={"max_iters": 6},
        checkpoint_config={"interval": 2, "max_keep_ckpts": 2},
        evaluation={"interval": 3},
        log_config={"interval": 1},
        precision="fp32",
    )
