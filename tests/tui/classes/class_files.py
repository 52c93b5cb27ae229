"""Evaluations, diagnoses and pictures as the engine leaves them, written by hand."""

import json
import os
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import MetricsWriter

TITLE = {"zh": "预测塌缩", "en": "collapse"}
ACTION = {"zh": "检查 loss 权重", "en": "Check the loss weights"}
BOXES = ([0.0, 0.2, 0.4, 0.8], [0.42, 0.2, 0.6, 0.8], [0.62, 0.2, 0.8, 0.8])


def write_evaluated_run(workspace: Path, name: str, scores, *, config: str = "configs/x.py") -> Path:
    """A finished run with evaluations (step, IoU) and a best checkpoint."""
    folder = RunFolder(workspace / "runs" / name)
    folder.path.mkdir(parents=True, exist_ok=True)
    writer = MetricsWriter(folder.metrics)
    for step, iou in scores:
        for at in range(step - 50, step, 10):
            writer.write({"step": at, "mode": "train", "phase": "train", "loss": 0.3})
        row = {f"IoU/{one}": iou for one in CLASSES if one != "construction_vehicle"}
        writer.write({"step": step, "mode": "eval", "phase": "val", "mIoU": iou, **row, "IoU/car": iou / 2})
    writer.close()
    best = max((iou for _, iou in scores), default=None)
    status = {"state": "finished", "max_iters": 200, "step": 200, "updated": time.time(), "best_miou": best}
    folder.status.write_text(json.dumps(status))
    arguments = {"config": config, "gpu_ids": [], "overrides": ["data.samples_per_gpu=1"]}
    manifest = {"arguments": arguments, "cwd": str(workspace), "config_path": config}
    folder.manifest.write_text(json.dumps(manifest))
    folder.best.write_bytes(b"no weights")
    return folder.path


def write_diagnosis(folder: Path, checkpoint: Path, *, iteration: int | None, age_s: float = 0.0) -> Path:
    """A summary: the car was never predicted, the bicycle is rare, the construction vehicle absent."""
    truth = dict.fromkeys(CLASSES, 0.1) | {"bicycle": 1e-4, "construction_vehicle": 0.0}
    predicted = dict.fromkeys(CLASSES, 0.2) | {"car": 0.0}
    counts = {name: {"TP": 40, "FP": 9, "FN": 60} for name in CLASSES}
    counts |= {"bicycle": {"TP": 14, "FP": 1, "FN": 200}, "car": {"TP": 0, "FP": 0, "FN": 500}}
    counts["construction_vehicle"] = {"TP": 0, "FP": 0, "FN": 0}
    finding = {"cause": "collapse", "title": TITLE, "action": ACTION,
               "evidence": [{"zh": "占 97 %", "en": "covers 97 %"}]}  # fmt: skip
    summary = {
        "verdict": "collapse",
        "findings": [finding],
        "predictions": {"share_truth": truth, "share_predicted": predicted, "counts": counts},
        "provenance": {
            "checkpoint": str(checkpoint),
            "iteration": iteration,
            "samples": 50,
            "split_samples": 528,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.json"
    path.write_text(json.dumps(summary))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def write_sample(path: Path, checkpoint: Path | None, miou: float | None = None, **more: object) -> Path:
    """A picture of which the camera is red, the truth green and the prediction blue."""
    picture = Image.new("RGB", (500, 100), "white")
    for box, colour in zip(BOXES, ("red", "green", "blue"), strict=True):
        left, top, right, bottom = box
        picture.paste(colour, (int(left * 500), int(top * 100), int(right * 500), int(bottom * 100)))
    about = PngInfo()
    if checkpoint is not None:
        prediction = {"name": "DiffBEV", "checkpoint": str(checkpoint), "iteration": 200, "mIoU": miou,
                      "classes": 5, "box": BOXES[2], **more}  # fmt: skip
        words = {"camera": "CAM_FRONT", "scene": "scene-0757", "camera_box": BOXES[0],
                 "truth_box": BOXES[1], "predictions": [prediction]}  # fmt: skip
        about.add_text("DiffBEV", json.dumps(words))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, pnginfo=about)
    return path
