"""The picture of predictions shows what was predicted."""

import cv2
import numpy as np
import torch

from diffbev_engine.core.bev_colors import rgb
from diffbev_engine.core.classes import CLASS_COLOURS
from diffbev_engine.dataset.records import read_records
from diffbev_engine.report.predictions import draw_predictions


def _area(picture: np.ndarray, colour: str) -> int:
    return int((picture[..., ::-1] == rgb(colour)).all(axis=-1).sum())


def test_predicted_classes_are_painted(tiny_root, tmp_path):
    records = read_records(tiny_root, "val", "front")[:2]
    car, bus = CLASS_COLOURS[4], CLASS_COLOURS[6]

    def nothing(batch):
        return torch.full(batch.classes().shape, -10.0)

    def bus_everywhere(batch):
        return nothing(batch).index_fill(1, torch.tensor([6]), 10.0)

    pictures = {}
    for predict in (nothing, bus_everywhere):
        path = tmp_path / f"{predict.__name__}.png"
        draw_predictions(predict, records, (64, 96), torch.device("cpu"), path)
        pictures[predict.__name__] = cv2.imread(str(path))

    assert _area(pictures["nothing"], car) > 100  # from the label
    assert _area(pictures["nothing"], bus) < 1000  # its legend patch alone
    assert _area(pictures["bus_everywhere"], bus) > 10_000
