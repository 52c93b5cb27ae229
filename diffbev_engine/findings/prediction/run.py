"""Diagnosis of a checkpoint and of the labels it is scored on, over a random sample of a split."""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.bilingual import Bilingual, Language
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.dataset.loader import BEVDataset, evaluation_loader
from diffbev_engine.dataset.records import SampleRecord, Split, read_provenance, read_records
from diffbev_engine.findings.prediction.diagnosis import Diagnosis, healthy
from diffbev_engine.findings.prediction.label_signs import label_findings
from diffbev_engine.findings.prediction.labels import survey_labels
from diffbev_engine.findings.prediction.prediction_signs import prediction_findings
from diffbev_engine.findings.prediction.predictions import PredictionSurvey, survey_predictions
from diffbev_engine.report.sample_picture import save_picture
from diffbev_engine.report.visualize import LoadedModel, choose_device, load_models, name_models, picture_of

_WORTH_WORKERS = 64
"""Samples from which starting loader processes pays."""


@dataclass(frozen=True)
class DiagnoseJob:
    """What is to be diagnosed."""

    settings: Settings
    config: str
    """Where the settings are from, for the report."""
    checkpoint: Path
    output_dir: Path
    """Gets ``summary.txt``, ``summary.json`` and ``vis/sample_<index>.png``."""
    samples: int = 50
    pictures: int = 0
    """How many of the samples are drawn."""
    seed: int = 42
    """Of the draw of samples; the denoising noise is that of ``evaluate``."""
    split: Split = "val"
    camera: str = ""
    """Only samples of this camera; empty: those of the settings."""
    device: str = ""
    """``cpu``, ``cuda`` or ``cuda:N``; empty: the first GPU, or the CPU where there is none."""
    language: Language = "en"


def diagnose(job: DiagnoseJob, say: Callable[[str], None] = lambda _line: None) -> Diagnosis:
    """Survey labels and predictions, name the cause, write the summaries.

    The labels come first, so that what is wrong with them is said even where the model cannot run.

    Raises:
        UsageError: a camera that the split has not, a device that does not exist, a checkpoint of
            another architecture.
        DiffBEVError: a data root or checkpoint that cannot be used, a folder that cannot be written.
    """
    folder = make_writable_dir(job.output_dir, "folder of the diagnosis")
    settings = job.settings
    records = _records(job)
    chosen = _draw(len(records), job.samples, job.seed)
    sample = [records[number] for number in chosen]
    labels = survey_labels(sample)
    findings = label_findings(labels)
    for finding in findings:
        say(Bilingual("标签检查：", "labels: ")[job.language] + finding.title[job.language])
    predictions: PredictionSurvey | None = None
    iteration: int | None = None
    pictures: tuple[str, ...] = ()
    if labels.readable:
        device = choose_device(job.device, say)
        model = load_models(name_models([(settings, job.checkpoint)]), device, say)[0]
        iteration = model.iteration
        predictions = _survey(model, labels.readable, device)
        findings += prediction_findings(predictions)
        index = {records[number].token: number for number in chosen}
        drawn = labels.readable[: job.pictures]
        pictures = _draw_pictures(drawn, index, model, device, folder, say)
        findings = findings or [healthy(labels, predictions)]
    provenance = _provenance(job, len(sample), len(records)) | {"iteration": iteration}
    diagnosis = Diagnosis(labels, predictions, tuple(findings), provenance, pictures)
    write_text(folder / "summary.txt", diagnosis.to_text(job.language) + "\n")
    write_text(folder / "summary.json", json.dumps(diagnosis.to_json(), indent=1, ensure_ascii=False) + "\n")
    return diagnosis


def _records(job: DiagnoseJob) -> Sequence[SampleRecord]:
    data = job.settings.data
    cameras = "all" if job.camera else data.cameras
    records = read_records(job.settings.data_root, job.split, cameras)
    if not job.camera:
        return records
    found = [record for record in records if record.camera == job.camera]
    if not found:
        there = sorted({record.camera for record in records if record.camera})
        known = f"it has {', '.join(there)}" if there else "index.jsonl, which names cameras, is missing"
        raise UsageError(f"--camera {job.camera}: the {job.split} split has no such image; {known}.")
    return found


def _draw(total: int, count: int, seed: int) -> list[int]:
    """Positions in the split, ascending; all of them where there are not more than ``count``."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))


def _survey(model: LoadedModel, records: Sequence[SampleRecord], device: torch.device) -> PredictionSurvey:
    settings = model.source.settings
    data = settings.data.model_copy(update={"load_depth": False})
    batch_size = settings.evaluation.samples_per_gpu or data.samples_per_gpu
    workers = data.workers_per_gpu if len(records) >= _WORTH_WORKERS else 0
    with closing(evaluation_loader(BEVDataset(records, data), batch_size, workers)) as batches:
        return survey_predictions(model.logits, batches, device, settings.evaluation.mask)


def _draw_pictures(
    records: Sequence[SampleRecord],
    index: dict[str, int],
    model: LoadedModel,
    device: torch.device,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    if not records:
        return ()
    vis = make_writable_dir(folder / "vis", "folder of pictures")
    written = []
    for record in records:
        number = index[record.token]
        path = vis / f"sample_{number:04d}.png"
        save_picture(picture_of(record, number, [model], device), path)
        say(f"✓ Saved to {path}")
        written.append(str(path))
    return tuple(written)


def _provenance(job: DiagnoseJob, samples: int, total: int) -> dict[str, Any]:
    settings = job.settings
    return {
        **read_provenance(settings.data_root),
        "config": job.config,
        "checkpoint": str(job.checkpoint.absolute()),
        "data_root": str(settings.data_root),
        "part": job.split,
        "cameras_used": job.camera or settings.data.cameras,
        "samples": samples,
        "split_samples": total,
        "seed": job.seed,
        "precision": settings.precision,
    }
