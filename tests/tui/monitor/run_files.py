"""Run directories as a training leaves them, written by hand."""

import json
import math
import random
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.file import MetricsWriter
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus


def write_run(
    path: Path,
    *,
    step: int = 41_350,
    max_iters: int = 200_000,
    state: RunState = RunState.TRAINING,
    diffusion: bool = True,
    started: float | None = None,
    resumed: tuple[int, ...] = (),
    nan_at: int | None = None,
    seed: int = 1,
) -> RunFolder:
    """A run at ``step``; one that is ``TRAINING`` is this very process."""
    path.mkdir(parents=True, exist_ok=True)
    folder, now = RunFolder(path), time.time()
    started = started or now - 5400
    write_metrics(folder.metrics, step, diffusion=diffusion, nan_at=nan_at, seed=seed)
    manifest = {"started": datetime.fromtimestamp(started).astimezone().isoformat(), "config_path": "c.py"}
    running = state is RunState.TRAINING
    if running:
        manifest["process"] = asdict(identify())
    folder.manifest.write_text(json.dumps(manifest))
    speed = {"it_per_s": 7.6, "images_per_s": 30.4, "data_wait": 0.012, "eta_s": (max_iters - step) / 7.6}
    status = RunStatus(
        state,
        max_iters,
        step,
        now if running else started + 4000,
        **(speed if running else {}),
        best_miou=0.214 if diffusion else 0.192,
        best_step=step // 20_000 * 20_000,
        last_checkpoint=folder.checkpoint(step // 4000 * 4000).name,
    )
    folder.status.write_text(json.dumps(asdict(status)))
    folder.checkpoint(step // 4000 * 4000).touch()
    folder.latest.touch()
    for place, iteration in enumerate((0, *resumed)):
        log = folder.log(datetime.fromtimestamp(started + place))
        head = f"2026-03-01 10:00:00 I resuming after iteration {iteration}\n" if iteration else ""
        log.write_text(head + "".join(_log_line(step - 50 * back, max_iters) for back in range(9, -1, -1)))
    return folder


def write_metrics(
    path: Path, step: int, *, diffusion: bool = True, nan_at: int | None = None, seed: int = 1
) -> None:
    """Rows every 50 iterations, an evaluation every 4,000."""
    chance = random.Random(seed)
    writer = MetricsWriter(path)
    for at in range(50, step + 1, 50):
        fall = math.exp(-at / 12_000)
        wce = (0.12 + 0.5 * fall) * (1 + 0.35 * (chance.random() - 0.5))
        depth = 0.01 + 0.02 * fall * chance.random()
        diffusing = 0.05 + 0.3 * fall * (0.7 + 0.6 * chance.random())
        row = {"step": at, "mode": "train", "phase": "train", "Lwce": wce, "lr": 2e-4 * (1 - at / 200_000)}
        row |= {"Ldepth": depth, "Ldiff": diffusing} if diffusion else {}
        loss = wce + (10 * depth + diffusing if diffusion else 0.15 * fall)
        writer.write(
            row
            | {"loss": math.nan if nan_at and at >= nan_at else loss}
            | {"grad_norm": 3 + 2 * chance.random(), "images_per_s": 30.0, "gpu_mem_mb": 18_400.0}
        )
        if at % 4000 == 0:
            iou = {f"IoU/{name}": (0.4 / place) * (1 - fall) for place, name in enumerate(CLASSES, start=1)}
            miou = sum(iou.values()) / len(iou) * (1.3 if diffusion else 1.1) + 0.01 * chance.random()
            writer.write({"step": at, "mode": "eval", "phase": "eval", "mIoU": miou, **iou})
    writer.close()


def _log_line(step: int, max_iters: int) -> str:
    return (
        f"2026-03-01 12:41:{step // 50 % 60:02d} I iter {step}/{max_iters} loss 0.287 Lwce 0.141 "
        f"Ldepth 0.0093 Ldiff 0.053 lr 1.594e-04 grad 4.1 7.60 it/s data wait 1.2% eta 05:48:11\n"
    )
