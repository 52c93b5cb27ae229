"""Evaluation of a model or a checkpoint on a split of its data root."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffbev_engine.config.settings import Settings
from diffbev_engine.dataset.loader import BEVDataset, evaluation_loader
from diffbev_engine.dataset.records import SampleRecord, Split, read_provenance, read_records
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.evaluate.evaluate import Predict, evaluate
from diffbev_engine.evaluate.result import EvaluationResult, MaskResult
from diffbev_engine.models.baseline import BaselineModel, ModelOutput, build_model
from diffbev_engine.models.photometric import normalise
from diffbev_engine.progress import progress
from diffbev_engine.train.checkpoint import load_checkpoint, load_weights
from diffbev_engine.train.processes import Processes
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.step import autocast


def predictor(model: BaselineModel, precision: str, device: torch.device) -> Predict:
    """The model behind its input pipeline: a batch on ``device`` to logits (B, 14, Z, X)."""

    def predict(batch: Batch) -> Tensor:
        images = normalise(batch.images, model.pixel_mean, model.pixel_std)
        with autocast(device, precision):
            output: ModelOutput = model(images, batch.intrinsics)
        return output.logits

    return predict


def evaluate_model(
    model: BaselineModel,
    settings: Settings,
    records: Sequence[SampleRecord],
    split: Split,
    processes: Processes,
    after_batch: Callable[[int], None] = lambda _images: None,
) -> EvaluationResult:
    """Score ``model`` on ``records``; it is put back into training mode if it was in it."""
    batches = evaluation_loader(
        BEVDataset(records, settings.data),
        settings.evaluation.samples_per_gpu or settings.data.samples_per_gpu,
        settings.data.workers_per_gpu,
        processes.shard,
    )
    was_training = model.training
    model.eval()
    try:
        with closing(batches):
            return evaluate(
                predictor(model, settings.precision, processes.device),
                batches,
                processes.device,
                samples=len(records),
                main_mask=settings.evaluation.mask,
                provenance=_provenance(settings, split),
                after_batch=after_batch,
            )
    finally:
        model.train(was_training)


def evaluation_in_training(
    settings: Settings, processes: Processes
) -> Callable[[BaselineModel, Callable[[int], None]], MaskResult]:
    """The evaluation that a training runs at its intervals, on the val split.

    Raises:
        DiffBEVError: now rather than after hours, if the val split cannot be used.
    """
    records = read_records(settings.data_root, "val", settings.data.cameras)

    def run(model: BaselineModel, after_batch: Callable[[int], None]) -> MaskResult:
        result = evaluate_model(model, settings, records, "val", processes, after_batch)
        logger.info(f"evaluation\n{result.to_text()}")
        return result.main

    return run


def evaluate_checkpoint(
    settings: Settings, checkpoint: Path, split: Split, processes: Processes
) -> EvaluationResult:
    """Score the weights of ``checkpoint``.

    Raises:
        DiffBEVError: a damaged checkpoint or data file.
        UsageError: a checkpoint of another architecture than the settings'.
    """
    records = read_records(settings.data_root, split, settings.data.cameras)
    loaded = load_checkpoint(checkpoint)
    model = build_model(settings.model.without_pretrained(), settings.data.image_size)
    load_weights(model, loaded.model, checkpoint)
    with progress(len(records), "evaluate") as show:
        return evaluate_model(
            model.to(processes.device),
            settings,
            records,
            split,
            processes,
            after_batch=lambda images: show(images * processes.shard.world_size),
        )


def _provenance(settings: Settings, split: Split) -> dict[str, Any]:
    made = read_provenance(settings.data_root)
    return {
        "data_root": str(settings.data_root),
        "part": split,
        "cameras_used": settings.data.cameras,
        **made,
    }
