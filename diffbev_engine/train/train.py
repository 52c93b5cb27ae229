"""Build a training run from settings and run it; an earlier run is moved away only once all is built."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, InterruptedTraining
from diffbev_engine.core.files import make_writable_dir
from diffbev_engine.dataset.camera_ranges import CameraRanges
from diffbev_engine.dataset.loader import BEVDataset, training_batches
from diffbev_engine.dataset.order import TrainingOrder
from diffbev_engine.dataset.priors import measured_priors
from diffbev_engine.dataset.records import SampleRecord, read_records
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.findings.plan import Plan
from diffbev_engine.findings.preflight import Preconditions, check_preconditions
from diffbev_engine.models.load_from import load_from
from diffbev_engine.models.model import build_model
from diffbev_engine.models.recompute import recompute
from diffbev_engine.models.settings import MEASURED
from diffbev_engine.runs.actions import wait_until_it_lets_go
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.lock import sole_writer
from diffbev_engine.runs.manifest import TrainingData
from diffbev_engine.runs.notify import notify_problem
from diffbev_engine.runs.slurm import current_job, write_job
from diffbev_engine.runs.status import RunState, record_end_for
from diffbev_engine.runs.trackers.feed import start_feeding
from diffbev_engine.runs.watch import start_watching
from diffbev_engine.train import random_state
from diffbev_engine.train.compile_ahead import start_compiling
from diffbev_engine.train.compiling import accelerate
from diffbev_engine.train.distributed import Processes, device_name, join_processes, taking_part
from diffbev_engine.train.failure import as_failure, is_known, record_failed_start, state_after
from diffbev_engine.train.job import TrainingJob
from diffbev_engine.train.loop import Evaluate, TrainingLoop
from diffbev_engine.train.objective import loss_composition
from diffbev_engine.train.opening import open_run, sweep_remnants
from diffbev_engine.train.out_of_memory import is_out_of_gpu_memory, leave_oom_report
from diffbev_engine.train.recorder import Recorder, RunLog, logger
from diffbev_engine.train.requeue import put_back, starting_up
from diffbev_engine.train.resume import Start, find_start
from diffbev_engine.train.signals import StopRequest, before_training, stop_on_signals
from diffbev_engine.train.step import TrainingStep

MakeEvaluate = Callable[[Settings, Processes], Evaluate]


def train(job: TrainingJob, make_evaluate: MakeEvaluate) -> None:
    """Train a model, or continue to.

    Whatever is refused is refused before anything is written or moved; what fails while the model
    is built leaves the files of an earlier run as they were.

    Args:
        job: what to train and where its files go.
        make_evaluate: builds the evaluation that runs inside the training.

    Raises:
        DiffBEVError: one message for the user; ``status.json`` tells the same.
    """
    with stop_on_signals(announce=os.environ.get("RANK", "0") == "0") as stop:
        with starting_up(stop, requeues=job.requeue):
            processes = join_processes(job.gpu_ids)
        with taking_part(processes, job.settings.dist_params.timeout) as processes:
            with starting_up(stop, requeues=job.requeue):
                settings, met = job.settings, Preconditions()
                records = read_records(settings.data_root, "train", settings.data.cameras)
                if settings.model.loss.priors == MEASURED:
                    priors = measured_priors(records, settings.data.mask)
                    settings = settings.model_copy(update={"model": settings.model.with_priors(priors)})
                    job = replace(job, settings=settings)
                evaluate = make_evaluate(settings, processes)
                if processes.is_main:
                    wait_until_it_lets_go(RunFolder(job.work_dir))
                    met = check_job(job)
                    make_writable_dir(job.work_dir, "work dir")
            with sole_writer(RunFolder(job.work_dir)) if processes.is_main else nullcontext():
                _train(job, processes, records, evaluate, met, stop)


def check_job(job: TrainingJob) -> Preconditions:
    """Check what would make the run fail, in a second or two, without writing anything.

    Raises:
        DiffBEVError: a precondition is not met, and ``job.anyway`` does not overrule it.
    """
    plan = Plan(job.settings, job.config_path, job.work_dir, job.gpu_ids, resuming=job.resuming)
    met = check_preconditions(plan)
    if not job.anyway:
        met.require()
    return met


def _train(
    job: TrainingJob,
    processes: Processes,
    records: Sequence[SampleRecord],
    evaluate: Evaluate,
    met: Preconditions,
    stop: StopRequest,
) -> None:
    folder = RunFolder(job.work_dir)
    swept = sweep_remnants(folder) if processes.is_main else ""
    with starting_up(stop, requeues=job.requeue):
        data = TrainingData.of(record.token for record in records)
        start = find_start(job, folder, processes.shard.world_size, data)
    log: RunLog | None = None
    recorder: Recorder | None = None
    loop: TrainingLoop | None = None
    try:
        if processes.is_main:
            log = RunLog(folder)
        if swept:
            logger.info(swept)
        with stop.nothing_to_save():
            step = build_step(job.settings, processes, resuming=start.checkpoint is not None)
            cameras = CameraRanges.of(records)
            loop = TrainingLoop(step, job.settings, folder, processes, evaluate, stop, cameras)
            if start.checkpoint is not None:
                loop.restore(start.checkpoint, start.path or folder.path)
        _leave_if_stopped(stop, processes)
        if log:
            recorder = open_run(job, folder, processes, start, met, log, data)
            if slurm_job := current_job():
                write_job(folder, slurm_job)
            if job.watched:
                start_watching(folder)
                start_feeding(folder, job.settings.log_config.hooks, start.iteration)
                if problem := notify_problem(folder.path):
                    logger.warning(f"no notifications will be sent: {problem}")
        logger.info(f"{len(records)} training images, on {device_name(processes.device)}")
        logger.info(loss_composition(job.settings.model))
        if processes.heartbeat:
            processes.heartbeat.rescue = partial(_end_alone, loop, recorder, processes, folder)
            processes.heartbeat.has_computed = step.restore_point.has_computed
        with closing(_batches(job.settings, records, processes, loop)) as batches:
            loop.run(batches, recorder)  # closing it shuts down loader workers, which ignore signals
    except BaseException as error:
        failure = as_failure(error)
        if job.requeue and isinstance(failure, InterruptedTraining):
            trained = loop is not None and loop.progress.iteration > start.iteration
            failure = put_back(failure, stop, trained=trained)
        if is_out_of_gpu_memory(error):
            reached = loop.progress.iteration if loop else start.iteration
            leave_oom_report(folder, error, job.settings, processes, step=reached, started_at=start.iteration)
        if recorder:
            recorder.finish(state_after(failure), str(failure))
        elif processes.succeeds_main:
            record_end_for(folder.status, state_after(failure), str(failure))
        elif log:
            record_failed_start(folder, failure, log, job.settings.runner.max_iters)
        if failure is error or not is_known(error):
            raise  # an unknown error is a defect: its traceback is the message
        raise failure from error
    else:
        if recorder:
            logger.info(_finished(start, job.settings))
            recorder.finish(RunState.FINISHED, "")
    finally:
        if log:
            log.close()


def _end_alone(
    loop: TrainingLoop,
    recorder: Recorder | None,
    processes: Processes,
    folder: RunFolder,
    lost: DiffBEVError,
) -> DiffBEVError:
    """What the main thread would do about a lost process, if it were not blocked."""
    failure = loop.save_alone(lost)
    if recorder:
        recorder.finish(state_after(failure), str(failure))
    elif processes.succeeds_main:
        record_end_for(folder.status, state_after(failure), str(failure))
    return failure


def build_step(settings: Settings, processes: Processes, *, resuming: bool) -> TrainingStep:
    """The model on its device with its optimizer; ``resuming`` spares reading weights to start from."""
    compilers = start_compiling(settings, processes)
    try:
        random_state.seed_everything(settings.seed, rank=0)  # the same initial weights in every process
        if settings.deterministic:
            torch.use_deterministic_algorithms(True)
        network = settings.model.without_pretrained() if resuming else settings.model
        model = build_model(network, settings.data.image_size).to(processes.device)
        if settings.load_from and not resuming:
            load_from(model, settings.load_from)
        recompute(model, settings.recompute)
        random_state.seed_everything(settings.seed, processes.shard.rank)
        step = TrainingStep(model, settings, processes)
        compilers.follow(step.objective)
        accelerate(step, settings, processes)
    except BaseException:
        compilers.end()
        raise
    step.await_compilers = compilers.wait
    return step


def _batches(
    settings: Settings, records: Sequence[SampleRecord], processes: Processes, loop: TrainingLoop
) -> Generator[Batch, None, None]:
    order = TrainingOrder(
        len(records),
        settings.data.samples_per_gpu,
        settings.seed,
        shard=processes.shard,
        first_batch=loop.progress.iteration * settings.optimizer_config.cumulative_iters,
    )
    return training_batches(
        BEVDataset(records, settings.data), order, settings.data.workers_per_gpu, loop.while_waiting
    )


def _leave_if_stopped(stop: StopRequest, processes: Processes) -> None:
    if processes.any(bool(stop)):
        raise before_training(stop.signal_name or "another process of this run")


def _finished(start: Start, settings: Settings) -> str:
    last = settings.runner.max_iters
    if start.iteration == last:
        return f"already finished: the checkpoint is at iteration {last}, which is runner.max_iters"
    return f"finished after {last} iterations"
