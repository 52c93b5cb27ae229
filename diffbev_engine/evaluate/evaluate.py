"""Evaluation of a model on a split: sigmoid above 0.5, visible cells, counts streamed."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from diffbev_engine.dataset.sample import Batch
from diffbev_engine.errors import DiffBEVError
from diffbev_engine.evaluate.counts import CountStream
from diffbev_engine.evaluate.result import EvaluationResult

Predict = Callable[[Batch], Tensor]
"""A batch on the device to its logits, (B, 14, Z, X)."""
AfterBatch = Callable[[int], None]
"""Called with the number of images this process has evaluated; raises to stop the evaluation."""


@torch.inference_mode()
def evaluate(
    predict: Predict,
    batches: Iterable[Batch | None],
    device: torch.device,
    *,
    samples: int,
    main_mask: str,
    provenance: dict[str, Any],
    after_batch: AfterBatch = lambda _images: None,
) -> EvaluationResult:
    """Score ``predict`` over ``batches``, under the PON mask and the field-of-view mask.

    Args:
        predict: the model in evaluation mode, behind its input pipeline.
        batches: every sample once; ``None`` where only other processes have a batch.
        device: where ``predict`` wants its input.
        samples: images over all processes, for the report.
        main_mask: ``pon`` or ``fov``, the mask of the headline number.
        provenance: how the labels were made, copied into the result.
        after_batch: progress and interruption.

    Raises:
        DiffBEVError: if the labels do not carry the main mask.
    """
    streams = {"pon": CountStream(device), "fov": CountStream(device)}
    started, images = time.perf_counter(), 0
    for batch in batches:
        if batch is not None:
            moved = batch.to(device)
            logits, classes = predict(moved), moved.classes()
            for mask, stream in streams.items():
                stream.add(logits, classes, moved.valid(mask), moved.known)
            images += len(batch.tokens)
        after_batch(images)
    masks = {mask: stream.result() for mask, stream in streams.items()}
    if not masks["fov"].ignored:  # labels made by other tools have no bit for this mask
        if main_mask == "fov":
            raise DiffBEVError(
                "these labels carry no field-of-view mask (bit 15 is never set). "
                "Set evaluation.mask='pon', or write the labels with `diffbev-engine prepare`."
            )
        del masks["fov"]
    return EvaluationResult(
        masks=masks,
        main_mask=main_mask,
        samples=samples,
        images_per_s=samples / (time.perf_counter() - started),
        provenance=provenance,
    )
