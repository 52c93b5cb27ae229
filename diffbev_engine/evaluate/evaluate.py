"""Evaluation of a network on a split: sigmoid above 0.5, visible cells, everything streamed."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.counts import CountStream, results_by_mask
from diffbev_engine.evaluate.depth import DepthStream
from diffbev_engine.evaluate.network import Network
from diffbev_engine.evaluate.network_clock import NetworkClock
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.result import MASK_NAMES, EvaluationResult
from diffbev_engine.evaluate.uncertainty import UncertaintyStream

AfterBatch = Callable[[int], None]
"""Called with the number of images this process has evaluated; raises to stop the evaluation."""


@torch.inference_mode()
def evaluate(
    network: Network,
    batches: Iterable[Batch | None],
    device: torch.device,
    *,
    samples: int,
    main_mask: str,
    provenance: dict[str, Any],
    depth: DepthStream | None = None,
    depth_note: str = "",
    uncertainty: bool = False,
    after_batch: AfterBatch = lambda _images: None,
) -> EvaluationResult:
    """Score ``network`` over ``batches``, under each of ``MASK_NAMES``.

    Args:
        network: the model in evaluation mode, behind its input pipeline.
        batches: every sample once; ``None`` where only other processes have a batch.
        device: where ``network`` wants its input.
        samples: images over all processes, for the report.
        main_mask: ``pon`` or ``fov``, the mask of the headline number.
        provenance: how the labels were made and the scores found, copied into the result.
        depth: measures depth on the batches that carry depth; in all processes or in none.
        depth_note: why there is no depth to measure, for the report.
        uncertainty: whether to score it.
        after_batch: progress and interruption.

    Raises:
        DiffBEVError: if the labels do not carry the main mask.
    """
    streams = {mask: CountStream(device) for mask in MASK_NAMES}
    doubts = {mask: UncertaintyStream(device) for mask in MASK_NAMES if uncertainty}
    clock, started, images = NetworkClock(device), time.perf_counter(), 0
    with reproducible_kernels():
        for batch in batches:
            if batch is not None:
                moved = batch.to(device)
                with clock.timing(len(batch.tokens)):
                    output = network(moved)
                classes = moved.classes()
                for mask, stream in streams.items():
                    stream.add(output.logits, classes, moved.valid(mask), moved.known)
                for mask, doubt in doubts.items():
                    doubt.add(output.logits, output.spread, classes, moved.valid(mask), moved.known)
                if depth is not None and moved.depth is not None:
                    depth.add(output.depth_logits, moved.depth)
                images += len(batch.tokens)
            after_batch(images)
    masks = results_by_mask(streams)
    if main_mask not in masks:
        raise DiffBEVError(
            "these labels carry no field-of-view mask (bit 15 is never set). "
            "Set evaluation.mask='pon', or write the labels with `diffbev-engine prepare`."
        )
    return EvaluationResult(
        masks=masks,
        main_mask=main_mask,
        samples=samples,
        images_per_s=samples / (time.perf_counter() - started),
        provenance=provenance,
        network_ms=clock.ms_per_image(),
        depth=depth.result() if depth else None,
        depth_note=depth_note,
        uncertainty={mask: doubts[mask].result() for mask in masks} if uncertainty else None,
    )
