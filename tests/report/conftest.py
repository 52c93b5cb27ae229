"""Run directories whose numbers are easy to check by hand."""

import json

import pytest

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.metrics.file import MetricsWriter


@pytest.fixture
def write_run(tmp_path):
    """Writes a run of 120 training rows, every 10 steps, and an evaluation every 400 steps.

    ``loss`` of row k is k, ``Ldiff`` 2 k; mIoU is as given, the IoU of class c is mIoU + c / 100.
    """

    def write(name, mious, *, diffusion=False, config=None):
        folder = tmp_path / name
        folder.mkdir()
        writer = MetricsWriter(folder / "metrics.csv")
        for row in range(1, 121):
            step = 10 * row
            losses = {"loss": row, "Lwce": row / 10}
            if diffusion:
                losses |= {"Ldepth": 1000 - row, "Ldiff": 2 * row}
            writer.write({"step": step, "mode": "train", "phase": "train", "lr": 1e-4, **losses})
            if step % 400 == 0 and step // 400 <= len(mious):
                miou = mious[step // 400 - 1]
                iou = {f"IoU/{each}": miou + number / 100 for number, each in enumerate(CLASSES)}
                iou["IoU/bus"] = None
                writer.write({"step": step, "mode": "eval", "phase": "eval", "mIoU": miou, **iou})
        writer.close()
        if config is not None:
            (folder / "run.json").write_text(json.dumps({"config": config}))
        return folder

    return write
