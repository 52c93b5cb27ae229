"""Loading against the original recipe: ``python -m tests.benchmarks.input DATA_ROOT``, a Markdown table.

The recipe of the configuration that DiffBEV was published with, in NumPy and OpenCV: decode, resize to
600x800, photometric distortion in four steps, normalisation to float32, channels first, the label as 15
planes. This project's workers decode and resize, and send bytes; distortion and normalisation are done by
the GPU. One thread, the same images in the same run; the best of three rounds. The row with depth has
what the recipe did not load; the cache is filled in the first round.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch

from diffbev_engine.dataset.records import SampleRecord, read_records
from diffbev_engine.dataset.sample import load_sample

_SIZE = (600, 800)
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
_ROUNDS = 3


def original_recipe(record: SampleRecord) -> tuple[np.ndarray, np.ndarray]:
    """The image, (3, H, W) float32, and the planes of the label, (15, Z, X) bool."""
    image = cv2.resize(cv2.imread(str(record.image)), _SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    image = _distorted(image)
    image = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)
    cv2.subtract(image, np.float64(_MEAN.reshape(1, -1)), image)
    cv2.multiply(image, 1 / np.float64(_STD.reshape(1, -1)), image)
    label = cv2.imread(str(record.label), cv2.IMREAD_UNCHANGED).astype(np.int64)
    planes = (label[None] >> np.arange(15)[:, None, None]) & 1
    return np.ascontiguousarray(image.transpose(2, 0, 1)), planes.astype(bool)


def _distorted(image: np.ndarray) -> np.ndarray:
    """Brightness, contrast, saturation and hue, each with probability 1/2."""

    def scaled(values: np.ndarray, factor: float = 1.0, offset: float = 0.0) -> np.ndarray:
        return np.clip(values.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)

    if random.getrandbits(1):
        image = scaled(image, offset=random.uniform(-32, 32))
    contrast_first = random.getrandbits(1)
    if contrast_first and random.getrandbits(1):
        image = scaled(image, random.uniform(0.5, 1.5))
    if random.getrandbits(1):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 1] = scaled(hsv[:, :, 1], random.uniform(0.5, 1.5))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if random.getrandbits(1):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + random.randint(-18, 17)) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not contrast_first and random.getrandbits(1):
        image = scaled(image, random.uniform(0.5, 1.5))
    return image


def main(data_root: Path) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    random.seed(0)
    records = [record for split in ("train", "val") for record in read_records(data_root, split, "all")][:100]
    height, width = cv2.imread(str(records[0].image)).shape[:2]
    print(f"{len(records)} images of {width}x{height}, one thread\n\n| | images/s | ratio |\n|---|---|---|")
    original = _images_per_second(original_recipe, records)
    print(f"| the original recipe | {original:.0f} | – |")
    with tempfile.TemporaryDirectory() as cache:
        for name, options in (
            ("this project", {}),
            ("with depth", {"with_depth": True}),
            ("with `data.frame_cache`", {"cache": Path(cache)}),
        ):
            ours = _images_per_second(partial(load_sample, image_size=_SIZE, **options), records)
            print(f"| {name} | {ours:.0f} | {ours / original:.1f} |")


def _images_per_second(load: Callable[[SampleRecord], object], records: list[SampleRecord]) -> float:
    best = 0.0
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for record in records:
            load(record)
        best = max(best, len(records) / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main(Path(sys.argv[1]))
