"""One picture a sample: camera image, label and predictions side by side, with the IoU of each."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import make_writable_dir
from diffbev_engine.dataset.records import SampleRecord, Split, read_records
from diffbev_engine.dataset.sample import Batch, collate, load_sample
from diffbev_engine.evaluate.counts import THRESHOLD, CountStream
from diffbev_engine.evaluate.network import DEFAULT_SEED, Network, network
from diffbev_engine.evaluate.reproducible import reproducible_kernels
from diffbev_engine.evaluate.result import MaskResult
from diffbev_engine.evaluate.run import trained_model
from diffbev_engine.report.sample_picture import Panel, SamplePicture, save_picture
from diffbev_engine.train.distributed import join_processes

_DEVICE = re.compile(r"cpu|cuda(?::(\d+))?")
_IMAGES = "vis"


@dataclass(frozen=True)
class ModelSource:
    """A trained model: the configuration it was trained with, and its weights."""

    settings: Settings
    checkpoint: Path
    name: str


@dataclass(frozen=True)
class VisualizeJob:
    """What is to be drawn."""

    models: Sequence[ModelSource]
    """One or more; the samples are those of the first one's data root."""
    work_dir: Path
    """Images go to ``vis/`` in it, or into it where it is called ``vis`` itself."""
    indices: Sequence[int] = ()
    """Positions in the split; none at all: ``count`` of them."""
    count: int = 6
    """How many samples, evenly spaced over the split, where no indices are named."""
    split: Split = "val"
    samples: int = 1
    """Maps of a diffusion that are averaged; with several their spread is drawn, too."""
    device: str = ""
    """``cpu``, ``cuda`` or ``cuda:N``; empty: the first GPU, or the CPU where there is none."""


@dataclass(frozen=True)
class Drawn:
    """A picture and the scores that it shows."""

    index: int
    token: str
    path: Path
    scores: dict[str, MaskResult]
    """By model name, of this sample alone, under the mask of the first configuration."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; shares are 0 to 1."""
        scores = {name: {"mIoU": score.miou, "IoU": score.iou} for name, score in self.scores.items()}
        return {"index": self.index, "token": self.token, "path": str(self.path), "scores": scores}


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to predict."""

    source: ModelSource
    network: Network
    iteration: int
    """How long it had been trained."""
    samples: int = 1
    """How many maps ``network`` averages."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """(B, 14, Z, X) for a batch on the device."""
        return self.network(batch).logits


def name_models(models: Sequence[tuple[Settings, Path]], names: Sequence[str] = ()) -> list[ModelSource]:
    """Name models (settings, checkpoint) after what they are, where no names are given.

    Raises:
        UsageError: names that do not fit the models.
    """
    if names and (len(names) != len(models) or len(set(names)) != len(names)):
        raise UsageError(f"--experiment-names: give {len(models)} different names, one per model.")
    if not names:
        names = ["DiffBEV" if settings.model.diffusion else "Baseline" for settings, _ in models]
        if len(set(names)) != len(names):
            names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    return [
        ModelSource(settings, checkpoint, name)
        for (settings, checkpoint), name in zip(models, names, strict=True)
    ]


def visualize(job: VisualizeJob, say: Callable[[str], None] = lambda _line: None) -> list[Drawn]:
    """Write ``vis/sample_<index>.png`` for every index.

    Args:
        job: what is drawn, and where to.
        say: receives a line before and after each step.

    Raises:
        UsageError: an index that the split has not, a device that does not exist, a checkpoint of
            another architecture.
        DiffBEVError: damaged or missing files, a folder that cannot be written.
    """
    first = job.models[0].settings
    say(f"Loading dataset... {job.split} split of {first.data_root}")
    records = read_records(first.data_root, job.split, first.data.cameras)
    indices = _chosen(job, len(records))
    say(f"{len(records)} samples, {len(indices)} of them are drawn")
    device = choose_device(job.device, say)
    models = load_models(job.models, device, say, samples=job.samples)
    folder = job.work_dir if job.work_dir.name == _IMAGES else job.work_dir / _IMAGES
    make_writable_dir(folder, "image directory")
    drawn = []
    for index in indices:
        say(f"Processing sample {index}...")
        picture = picture_of(records[index], index, models, device)
        path = folder / f"sample_{index:04d}.png"
        save_picture(picture, path)
        say(f"✓ Saved to {path}")
        scores = {panel.name: panel.score for panel in picture.panels}
        drawn.append(Drawn(index, records[index].token, path, scores))
    return drawn


def choose_device(wanted: str, say: Callable[[str], None]) -> torch.device:
    """The device that ``wanted`` names; on a machine without GPU the CPU, which is said.

    Raises:
        UsageError: no such device.
    """
    match = _DEVICE.fullmatch(wanted) if wanted else None
    if wanted and match is None:
        raise UsageError(f"--device {wanted}: name cpu, cuda or cuda:N.")
    if wanted == "cpu":
        return torch.device("cpu")
    device = join_processes((int(match[1]),) if match and match[1] else ()).device
    if wanted and device.type == "cpu":
        say(f"PyTorch cannot use a GPU; using the CPU instead of {wanted}")
    return device


def load_models(
    sources: Sequence[ModelSource],
    device: torch.device,
    say: Callable[[str], None] = lambda _line: None,
    *,
    samples: int = 1,
) -> list[LoadedModel]:
    """Build the models of ``sources`` with their weights, on ``device`` and in evaluation mode.

    Those whose diffusion draws noise average ``samples`` maps.

    Raises:
        DiffBEVError: a missing or damaged checkpoint.
        UsageError: a checkpoint of another architecture than its configuration.
    """
    loaded = []
    for source in sources:
        say(f"Loading model... {source.name}: {source.checkpoint}")
        settings = source.settings
        model, checkpoint = trained_model(settings, source.checkpoint, device)
        diffusion = settings.model.diffusion
        maps = samples if diffusion and diffusion.process != "none" else 1
        run = network(model, settings.precision, device, DEFAULT_SEED, maps)
        loaded.append(LoadedModel(source, run, checkpoint.iteration, maps))
    return loaded


@torch.inference_mode()
def picture_of(
    record: SampleRecord, index: int, models: Sequence[LoadedModel], device: torch.device
) -> SamplePicture:
    """Predict one sample with every model and score each prediction."""
    mask = models[0].source.settings.evaluation.mask
    panels = []
    for model in models:
        sample = load_sample(record, model.source.settings.data.image_size)
        batch = collate([sample]).to(device)
        with reproducible_kernels():
            output = model.network(batch)  # of one image
        positive = output.logits[0].float().sigmoid() > THRESHOLD  # 14 x Z x X
        panels.append(
            Panel(
                model.source.name,
                positive.cpu().numpy(),
                _score(output.logits, batch, mask),
                model.source.checkpoint,
                model.iteration,
                None if output.spread is None else output.spread[0].amax(dim=0).cpu().numpy(),
                model.samples,
            )
        )
    return SamplePicture(
        record=record,
        index=index,
        label=batch.classes()[0].cpu().numpy(),
        ignore=~batch.valid(mask)[0].cpu().numpy(),
        mask=mask,
        panels=panels,
    )


def _score(logits: torch.Tensor, batch: Batch, mask: str) -> MaskResult:
    stream = CountStream(logits.device)
    stream.add(logits, batch.classes(), batch.valid(mask), batch.known)
    return stream.result()


def _chosen(job: VisualizeJob, samples: int) -> list[int]:
    beyond = [index for index in job.indices if not 0 <= index < samples]
    if beyond:
        data_root = job.models[0].settings.data_root
        raise UsageError(
            f"--indices: {', '.join(map(str, beyond))} out of range; the {job.split} split of "
            f"{data_root} has {samples}, indices 0 to {samples - 1}."
        )
    if job.indices:
        return list(dict.fromkeys(job.indices))
    count = min(job.count, samples)
    return [number * samples // count for number in range(count)]
