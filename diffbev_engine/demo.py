"""The whole procedure on a synthetic world: the main job of the project, on a CPU, in minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.config.load import load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.dataset.records import SampleRecord, read_records
from diffbev_engine.errors import DiffBEVError
from diffbev_engine.evaluate.result import EvaluationResult
from diffbev_engine.evaluate.run import evaluate_model, evaluation_in_training, predictor
from diffbev_engine.models.model import BEVModel, build_model
from diffbev_engine.prepare.pipeline import PrepareJob, prepare
from diffbev_engine.prepare.prepare_depth import DepthJob, prepare_depth
from diffbev_engine.report.predictions import draw_predictions
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.synthesize import synthesize
from diffbev_engine.train.checkpoint import load_checkpoint, load_weights
from diffbev_engine.train.experiment import TrainingJob, train
from diffbev_engine.train.processes import join_processes

CONFIG = "baseline/lss_swin_demo"
_SHOWN_SAMPLES = 3


@dataclass(frozen=True)
class DemoSummary:
    """What the demo found."""

    untrained: EvaluationResult
    trained: EvaluationResult
    picture: Path
    seconds: float


def run_demo(out: Path, say: Callable[[str], None]) -> DemoSummary:
    """Make a synthetic world below ``out``, prepare it, train the baseline on it and score it.

    Args:
        out: folder of the demo; what is there already is used again, the training is repeated.
        say: receives one line before each step.

    Raises:
        DiffBEVError: a step failed.
    """
    started, workers = time.monotonic(), os.cpu_count() or 1
    root, run = out / "nuScenes", RunFolder(out / "runs" / "baseline")
    settings = load_settings(CONFIG, [f"data_root={root}"])

    say(f"1/6 synth: a small synthetic city in the nuScenes format, in {root}")
    world = synthesize(SynthJob(root, workers=workers))
    say(world.to_text())
    say("2/6 prepare: camera images and bird's-eye-view labels")
    _prepare(root, workers, say)
    say("3/6 prepare-depth: LiDAR depth in every image")
    _prepare_depth(root, settings, workers, say)
    say(f"4/6 train: the LSS baseline, {settings.runner.max_iters} iterations")
    train(TrainingJob(settings, CONFIG, run.path), evaluation_in_training)

    say("5/6 evaluate: the validation scenes, before and after training")
    untrained, trained = _score(settings, run, say)
    say("6/6 picture: camera, label and prediction")
    picture = out / "predictions.png"
    _draw(settings, run, picture)
    return DemoSummary(untrained, trained, picture, time.monotonic() - started)


def _prepare(root: Path, workers: int, say: Callable[[str], None]) -> None:
    summary = prepare(PrepareJob(root, workers=workers))
    say(summary.to_text())
    if summary.failed:
        raise DiffBEVError(
            "the synthetic world could not be prepared; delete its folder and run the demo again."
        )


def _prepare_depth(root: Path, settings: Settings, workers: int, say: Callable[[str], None]) -> None:
    height, width = settings.data.image_size
    for split in ("train", "val"):
        job = DepthJob(
            nuscenes_root=root,
            output_dir=root / "ann_bev_dir",
            split=split,
            img_dir=root / "img_dir" / split,
            height=height,
            width=width,
            workers=workers,
        )
        say(prepare_depth(job).to_text())


def _score(
    settings: Settings, run: RunFolder, say: Callable[[str], None]
) -> tuple[EvaluationResult, EvaluationResult]:
    processes = join_processes(())
    records = _val_records(settings)
    model = build_model(settings.model, settings.data.image_size).to(processes.device)
    untrained = evaluate_model(model, settings, records, "val", processes)
    trained = evaluate_model(
        _trained(settings, run).to(processes.device), settings, records, "val", processes
    )
    say(trained.to_text())
    return untrained, trained


def _draw(settings: Settings, run: RunFolder, picture: Path) -> None:
    device = join_processes(()).device
    records = _val_records(settings)
    shown = records[:: max(1, len(records) // _SHOWN_SAMPLES)][:_SHOWN_SAMPLES]
    predict = predictor(_trained(settings, run).to(device).eval(), settings.precision, device)
    draw_predictions(predict, shown, settings.data.image_size, device, picture)


def _val_records(settings: Settings) -> list[SampleRecord]:
    return read_records(settings.data_root, "val", settings.data.cameras)


def _trained(settings: Settings, run: RunFolder) -> BEVModel:
    model = build_model(settings.model.without_pretrained(), settings.data.image_size)
    load_weights(model, load_checkpoint(run.latest).model, run.latest)
    return model
