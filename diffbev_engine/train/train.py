"""Build a training run from settings, manage its run directory, record how it ended."""

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, OutOfGPUMemoryError
from diffbev_engine.core.files import make_writable_dir
from diffbev_engine.dataset.loader import BEVDataset, training_batches
from diffbev_engine.dataset.order import TrainingOrder
from diffbev_engine.dataset.records import read_records
from diffbev_engine.models.model import build_model
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import own_launch_files
from diffbev_engine.runs.lock import sole_writer
from diffbev_engine.runs.manifest import write_manifest
from diffbev_engine.runs.status import RunState
from diffbev_engine.train import random_state
from diffbev_engine.train.checkpoint import Checkpoint, load_checkpoint
from diffbev_engine.train.distributed import Processes, join_processes, leave_processes
from diffbev_engine.train.loop import Evaluate, TrainingLoop
from diffbev_engine.train.out_of_memory import (
    is_out_of_gpu_memory,
    is_out_of_host_memory,
    leave_oom_report,
)
from diffbev_engine.train.recorder import Recorder, logger
from diffbev_engine.train.signals import StopRequest, stop_on_signals
from diffbev_engine.train.step import TrainingStep, loss_composition

MakeEvaluate = Callable[[Settings, Processes], Evaluate]
_FINAL_STATES = {1: RunState.FAILED, 3: RunState.OOM, 4: RunState.DIVERGED, 5: RunState.INTERRUPTED}


@dataclass(frozen=True)
class TrainingJob:
    """One start of one run."""

    settings: Settings
    config_path: str
    work_dir: Path
    gpu_ids: Sequence[int] = ()
    resume: bool = False
    resume_from: Path | None = None
    """A checkpoint other than ``latest.pth`` of the work dir."""
    overrides: Sequence[str] | None = None
    """``--set`` arguments that made the settings; ``None`` for settings made in Python."""


def train(job: TrainingJob, make_evaluate: MakeEvaluate) -> None:
    """Train a model, or continue to.

    Args:
        job: what to train and where its files go.
        make_evaluate: builds the evaluation that runs inside the training.

    Raises:
        DiffBEVError: one message for the user; ``status.json`` tells the same.
    """
    folder = RunFolder(make_writable_dir(job.work_dir, "work dir"))
    processes = join_processes(job.gpu_ids)
    try:
        writer = sole_writer(folder) if processes.is_main else nullcontext()
        with writer, stop_on_signals() as stop:
            _train(job, folder, processes, make_evaluate, stop)
    finally:
        leave_processes()


def _train(
    job: TrainingJob, folder: RunFolder, processes: Processes, make_evaluate: MakeEvaluate, stop: StopRequest
) -> None:
    settings = job.settings
    records = read_records(settings.data_root, "train", settings.data.cameras)
    evaluate = make_evaluate(settings, processes)
    checkpoint = _find_checkpoint(job, folder)
    recorder = _open_run(job, folder, processes, checkpoint) if processes.is_main else None
    start = checkpoint.iteration if checkpoint else 0
    loop: TrainingLoop | None = None
    try:
        step = build_step(settings, processes, resuming=checkpoint is not None)
        loop = TrainingLoop(step, settings, folder, processes, evaluate, stop, recorder)
        if checkpoint is not None:
            loop.restore(checkpoint, folder.path)
        order = TrainingOrder(
            len(records),
            settings.data.samples_per_gpu,
            settings.seed,
            shard=processes.shard,
            first_batch=loop.progress.iteration * settings.optimizer_config.cumulative_iters,
        )
        batches = training_batches(BEVDataset(records, settings.data), order, settings.data.workers_per_gpu)
        logger.info(f"{len(records)} training images, on {device_name(processes.device)}")
        logger.info(loss_composition(settings.model))
        with closing(batches):  # shuts down loader workers, which ignore signals
            loop.run(batches)
    except BaseException as error:
        failure = _as_failure(error)
        if is_out_of_gpu_memory(error):
            step_reached = loop.progress.iteration if loop else start
            leave_oom_report(folder, error, settings, processes, step=step_reached, started_at=start)
        if recorder:
            recorder.finish(_FINAL_STATES.get(failure.exit_code, RunState.FAILED), str(failure))
        if isinstance(error, DiffBEVError):
            raise
        if is_out_of_gpu_memory(error) or is_out_of_host_memory(error) or isinstance(error, OSError):
            raise failure from error
        raise  # a defect: its traceback is the message
    if recorder:
        logger.info(f"finished after {settings.runner.max_iters} iterations")
        recorder.finish(RunState.FINISHED, "")


def build_step(settings: Settings, processes: Processes, *, resuming: bool) -> TrainingStep:
    """The model on its device with its optimizer; ``resuming`` spares fetching pretrained weights."""
    random_state.seed_everything(settings.seed, rank=0)  # the same initial weights in every process
    if settings.deterministic:
        torch.use_deterministic_algorithms(True)
    network = settings.model.without_pretrained() if resuming else settings.model
    model = build_model(network, settings.data.image_size).to(processes.device)
    random_state.seed_everything(settings.seed, processes.shard.rank)
    if settings.compile == "all":
        model.backbone.unfuse_attention()
        model.compile()
    elif settings.compile == "head":
        model.head.compile()
        if model.diffusion is not None:
            model.diffusion.unet.compile()
    return TrainingStep(model, settings, processes)


def _find_checkpoint(job: TrainingJob, folder: RunFolder) -> Checkpoint | None:
    if job.resume_from is not None:
        return load_checkpoint(job.resume_from)
    if job.resume and folder.latest.exists():
        return load_checkpoint(folder.latest)
    return None


def _open_run(
    job: TrainingJob, folder: RunFolder, processes: Processes, checkpoint: Checkpoint | None
) -> Recorder:
    moved = None
    if checkpoint is None and folder.holds_a_run():
        moved = folder.set_aside(datetime.now(), keep=own_launch_files(folder))
    start = checkpoint.iteration if checkpoint else 0
    best = checkpoint.best if checkpoint else None
    recorder = Recorder(folder, max_iters=job.settings.runner.max_iters, start=start, best=best)
    write_manifest(
        folder.manifest,
        config_path=job.config_path,
        config=job.settings.model_dump(mode="json"),
        seed=job.settings.seed,
        devices=[device_name(processes.device)],
        world_size=processes.shard.world_size,
        resumed_from=str(job.resume_from or folder.latest) if checkpoint else None,
        arguments=_arguments(job),
    )
    if moved:
        logger.warning(
            f"the earlier run was moved to {moved}; use --resume to continue a run instead of "
            f"starting a new one"
        )
    if checkpoint:
        if folder.oom_report.exists():  # it told of an earlier start
            folder.oom_report.replace(folder.oom_report.with_suffix(".previous.json"))
        logger.info(f"resuming after iteration {start}")
    elif job.resume:
        logger.info(f"nothing to resume in {folder.path}; starting from iteration 0")
    return recorder


def _arguments(job: TrainingJob) -> dict[str, object] | None:
    if job.overrides is None:
        return None
    return {"config": job.config_path, "gpu_ids": list(job.gpu_ids), "overrides": list(job.overrides)}


def _as_failure(error: BaseException) -> DiffBEVError:
    if isinstance(error, DiffBEVError):
        return error
    if is_out_of_gpu_memory(error):
        return OutOfGPUMemoryError(
            f"out of GPU memory: {error} Lower data.samples_per_gpu and raise "
            "optimizer_config.cumulative_iters by the same factor, or set compile='head'; then --resume."
        )
    if is_out_of_host_memory(error):
        return DiffBEVError(
            f"out of host memory (RAM, not GPU memory): {error} Reduce data.workers_per_gpu or "
            f"data.samples_per_gpu, or close other programs, then continue with --resume."
        )
    if isinstance(error, OSError):
        return DiffBEVError(f"training stopped: {error}. Fix this, then continue with --resume.")
    return DiffBEVError(f"{type(error).__name__}: {error}")


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads (no GPU found)"
