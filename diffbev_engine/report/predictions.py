"""A picture of what a model sees: camera image, label and prediction, row by row."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diffbev_engine.core.bev_plot import INK, draw_bev, draw_legend
from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.core.files import atomic_path
from diffbev_engine.core.format import points
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.dataset.sample import Batch, collate, load_sample
from diffbev_engine.evaluate.counts import THRESHOLD, CountStream
from diffbev_engine.evaluate.network import Predict


@torch.inference_mode()
def draw_predictions(
    predict: Predict,
    records: Sequence[SampleRecord],
    image_size: tuple[int, int],
    device: torch.device,
    path: Path,
) -> None:
    """Write a PNG with one row per sample, each titled with its own mIoU.

    Args:
        predict: the model in evaluation mode, behind its input pipeline.
        records: the samples to show.
        image_size: (height, width) that the model takes.
        device: where ``predict`` wants its input.
        path: where the picture goes.
    """
    figure = Figure(figsize=(12.0, 3.4 * len(records) + 0.9), facecolor="white", layout="constrained")
    rows = figure.subplots(len(records), 3, width_ratios=(1.7, 1, 1), squeeze=False)
    present = torch.zeros(NUM_CLASSES, dtype=torch.bool)
    for axes, record in zip(rows, records, strict=True):
        batch = collate([load_sample(record, image_size)]).to(device)
        logits = predict(batch)  # 1 x 14 x Z x X
        predicted = logits.float().sigmoid() > THRESHOLD
        classes, ignore = batch.classes(), ~batch.valid("fov")
        present |= (classes & ~ignore[:, None]).any(dim=(0, 2, 3)).cpu()
        axes[0].imshow(
            batch.images[0].permute(1, 2, 0).cpu().numpy(), aspect=9 / 16 * image_size[1] / image_size[0]
        )
        axes[0].set_axis_off()
        axes[0].set_title(
            f"{record.camera or 'camera'}  {record.scene or record.token}", fontsize=10, color=INK
        )
        hidden = ignore[0].cpu().numpy()
        draw_bev(axes[1], classes[0].cpu().numpy(), hidden, "label")
        draw_bev(axes[2], predicted[0].cpu().numpy(), hidden, f"prediction, {_score(logits, batch)}")
    known = torch.from_numpy(records[0].known)
    unlabelled = [name for name, annotated in zip(CLASSES, known.tolist(), strict=True) if not annotated]
    draw_legend(figure, present.numpy(), unlabelled, loc="outside lower center")
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _score(logits: torch.Tensor, batch: Batch) -> str:
    stream = CountStream(logits.device)
    stream.add(logits, batch.classes(), batch.valid("fov"), batch.known)
    return f"mIoU {points(stream.result().miou)} (mask fov)"
