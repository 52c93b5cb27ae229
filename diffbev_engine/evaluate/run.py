"""Evaluation of a model or a checkpoint on a split of its data root."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.progress import progress
from diffbev_engine.dataset.loader import BEVDataset, WhileWaiting, evaluation_loader
from diffbev_engine.dataset.records import SampleRecord, Split, read_provenance, read_records
from diffbev_engine.evaluate.depth import DepthStream, depth_obstacle
from diffbev_engine.evaluate.evaluate import evaluate
from diffbev_engine.evaluate.network import DEFAULT_SEED, evaluated
from diffbev_engine.evaluate.result import EvaluationResult, MaskResult
from diffbev_engine.evaluate.summary import SeedSummary, StepsTable
from diffbev_engine.models.cuda_graph import GraphMemory
from diffbev_engine.models.model import BEVModel, build_model
from diffbev_engine.models.settings import MEASURED, DiffusionSettings
from diffbev_engine.train.checkpoint import Checkpoint, load_checkpoint, load_weights
from diffbev_engine.train.distributed import Processes, device_name
from diffbev_engine.train.recorder import logger


def evaluate_model(
    model: BEVModel,
    settings: Settings,
    records: Sequence[SampleRecord],
    split: Split,
    processes: Processes,
    after_batch: Callable[[int], None] = lambda _images: None,
    *,
    seed: int = DEFAULT_SEED,
    samples: int | None = None,
    averaged: bool = False,
    while_waiting: WhileWaiting | None = None,
    memory: GraphMemory | None = None,
) -> EvaluationResult:
    """Score ``model`` on ``records``; it is put back into training mode if it was in it.

    Depth is measured too where the split has ground truth at the size of the images.

    Args:
        model: the network, on the device of ``processes``.
        settings: how to load and score.
        records: samples of ``split``.
        split: part of the data root, for the report.
        processes: which share of ``records`` is this process's.
        after_batch: see ``AfterBatch``.
        seed: seed of the denoising noise; without diffusion nothing is random.
        samples: how many maps of the diffusion to average, scoring uncertainty too; ``None``: one, without.
        averaged: whether the weights are a moving average, for the report.
        while_waiting: see ``WhileWaiting``.
        memory: where CUDA graphs compute; their own by default.
    """
    obstacle = depth_obstacle(records, settings.data.image_size)
    batch_size = settings.evaluation.samples_per_gpu or settings.data.samples_per_gpu
    data = settings.data.model_copy(update={"load_depth": obstacle is None})
    batches = evaluation_loader(
        BEVDataset(records, data), batch_size, data.workers_per_gpu, processes.shard, while_waiting
    )
    was_training = model.training
    model.eval()
    try:
        with closing(batches):
            return evaluate(
                evaluated(model, settings, processes.device, seed, samples or 1, memory=memory),
                batches,
                processes.device,
                samples=len(records),
                main_mask=settings.evaluation.mask,
                provenance={
                    **_provenance(model, settings, split, processes, batch_size, seed),
                    **({"samples_averaged": samples} if samples and samples > 1 else {}),
                    **({"weights": "moving average"} if averaged else {}),
                },
                depth=DepthStream(model, processes.device),
                depth_note=obstacle or "",
                uncertainty=samples is not None,
                after_batch=after_batch,
            )
    finally:
        model.train(was_training)


def evaluation_in_training(
    settings: Settings, processes: Processes
) -> Callable[[BEVModel, GraphMemory | None, Callable[[int], None], WhileWaiting], MaskResult]:
    """The evaluation that a training runs at its intervals, on the val split; see ``train.loop.Evaluate``.

    Raises:
        DiffBEVError: now rather than after hours, if the val split cannot be used.
    """
    records = read_records(settings.data_root, "val", settings.data.cameras)

    def run(
        model: BEVModel,
        memory: GraphMemory | None,
        after_batch: Callable[[int], None],
        while_waiting: WhileWaiting,
    ) -> MaskResult:
        result = evaluate_model(
            model,
            settings,
            records,
            "val",
            processes,
            after_batch,
            averaged=settings.ema is not None,
            while_waiting=while_waiting,
            memory=memory,
        )
        logger.info(f"evaluation\n{result.to_text()}")
        return result.main

    return run


def trained_model(
    settings: Settings, path: Path, device: torch.device, *, ema: bool = True
) -> tuple[BEVModel, Checkpoint]:
    """The network of ``settings`` with the weights of a checkpoint, in evaluation mode, and the checkpoint.

    Args:
        settings: the configuration that the checkpoint was trained with.
        path: of the checkpoint.
        device: where the network shall be.
        ema: take the moving average of the weights where there is one.

    Raises:
        DiffBEVError: a missing or damaged checkpoint.
        UsageError: a checkpoint of another architecture than the settings'.
    """
    checkpoint = load_checkpoint(path)
    return model_of(settings, checkpoint, path, device, ema=ema), checkpoint


def model_of(
    settings: Settings, checkpoint: Checkpoint, path: Path, device: torch.device, *, ema: bool = True
) -> BEVModel:
    """The same for a checkpoint that was loaded from ``path``.

    Raises:
        UsageError: as above.
    """
    network = settings.model.without_pretrained()
    if network.loss.priors == MEASURED:
        if not checkpoint.priors:
            raise UsageError(
                f"{path} does not say which class priors it was trained with. Give them as numbers: "
                "--set model.loss.priors=(…)."
            )
        network = network.with_priors(checkpoint.priors)
    model = build_model(network, settings.data.image_size)
    load_weights(model, checkpoint.evaluated_weights if ema else checkpoint.model, path)
    return model.to(device).eval()


def settings_of(checkpoint: Checkpoint, path: Path) -> Settings:
    """The settings that a checkpoint from ``path`` was trained with.

    Raises:
        UsageError: it does not hold them, or in another form than this version's.
    """
    try:
        return Settings.model_validate(checkpoint.settings)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UsageError(
            f"{path} does not hold settings that this version can read ({where or 'none at all'}). Use the "
            "version that trained it."
        ) from error


def evaluate_checkpoint(
    settings: Settings,
    checkpoint: Path,
    split: Split,
    processes: Processes,
    *,
    seeds: int = 1,
    steps: Sequence[int] = (),
    samples: int | None = None,
    ema: bool = True,
) -> StepsTable:
    """Score the weights of ``checkpoint``, once for every number of steps and every noise seed.

    Args:
        settings: the configuration that the checkpoint was trained with.
        checkpoint: where the weights are.
        split: part of the data root.
        processes: this process and the others.
        seeds: how many noise seeds, counted from 0.
        steps: numbers of DDIM steps; empty: the number in ``settings``.
        samples: as of :func:`evaluate_model`.
        ema: score the moving average of the weights where the checkpoint has one.

    Raises:
        DiffBEVError: a damaged checkpoint or data file.
        UsageError: a checkpoint of another architecture than the settings', or noise to be varied
            in a model that has none.
    """
    diffusion = settings.model.diffusion
    _check_variants(diffusion, seeds, steps, samples or 1)
    records = read_records(settings.data_root, split, settings.data.cameras)
    model, loaded = trained_model(settings, checkpoint, processes.device, ema=ema)
    averaged = ema and bool(loaded.ema)
    counts: Sequence[int | None] = steps or [diffusion.steps if diffusion else None]
    rows, evaluated = [], 0
    with progress(len(records) * seeds * len(counts), "evaluate") as show:

        def after_batch(images: int) -> None:
            show(evaluated + min(images * processes.shard.world_size, len(records)))

        for count in counts:
            if model.diffusion and count:
                model.diffusion.steps = count
            results = []
            for seed in range(seeds):
                result = evaluate_model(
                    model,
                    settings,
                    records,
                    split,
                    processes,
                    after_batch,
                    seed=seed,
                    samples=samples,
                    averaged=averaged,
                )
                results.append(result)
                evaluated += len(records)
            rows.append(SeedSummary(results, steps=count))
    return StepsTable(rows)


def _check_variants(
    diffusion: DiffusionSettings | None, seeds: int, steps: Sequence[int], samples: int
) -> None:
    if diffusion is None and (seeds > 1 or steps or samples > 1):
        raise UsageError(
            "--seeds, --steps and --samples above 1 require diffusion, but this configuration has "
            "model.diffusion=None. Evaluate it without them."
        )
    if diffusion is not None and diffusion.process == "none" and samples > 1:
        raise UsageError(
            f"--samples {samples}: with model.diffusion.process='none' all samples are the same. "
            "Evaluate it with --samples 1."
        )
    if diffusion is not None:
        feature = diffusion.target == "feature"
        start = max(1, round(diffusion.start * diffusion.timesteps)) if feature else diffusion.timesteps
        if steps and max(steps) > start:
            raise UsageError(
                f"--steps {max(steps)}: denoising starts at time {start} "
                f"(model.diffusion.start * timesteps), so it takes at most {start} steps."
            )


def _provenance(
    model: BEVModel, settings: Settings, split: Split, processes: Processes, batch_size: int, seed: int
) -> dict[str, Any]:
    noise = {"denoise_steps": model.diffusion.steps, "noise_seed": seed} if model.diffusion else {}
    return {
        "data_root": str(settings.data_root),
        "part": split,
        "cameras_used": settings.data.cameras,
        **read_provenance(settings.data_root),
        "device": device_name(processes.device),
        "precision": settings.precision,
        "batch_size": batch_size,
        **noise,
    }
