"""Synthetic data for benchmarks: a world, its labels and its depth; what is there is used again."""

import os
from collections.abc import Callable
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.prepare.pipeline import PrepareJob, prepare
from diffbev_engine.prepare.prepare_depth import DepthJob, prepare_depth
from diffbev_engine.synth.job import MAX_SCENES, SynthJob
from diffbev_engine.synth.synthesize import synthesize

SAMPLES_PER_SCENE = 12
_FRAMES = (900, 1600)
"""(height, width) of real nuScenes images, whose decoding a benchmark must pay for."""


def scenes_for(frames: int) -> int:
    """Scenes of ``SAMPLES_PER_SCENE`` frames that come nearest to ``frames``; at least two.

    Raises:
        UsageError: more frames than a world can hold.
    """
    scenes = max(2, round(frames / SAMPLES_PER_SCENE))
    if scenes > MAX_SCENES:
        raise UsageError(
            f"--frames {frames}: a synthetic world has at most {MAX_SCENES * SAMPLES_PER_SCENE} frames."
        )
    return scenes


def make_frames(root: Path, depth_size: tuple[int, int] | None, say: Callable[[str], None]) -> None:
    """A small world with images of nuScenes' size, to measure speed with; see ``make_data_root``."""
    make_data_root(SynthJob(root, image_size=_FRAMES, workers=os.cpu_count() or 1), depth_size, say)


def make_data_root(world: SynthJob, depth_size: tuple[int, int] | None, say: Callable[[str], None]) -> Path:
    """Make ``world`` and prepare it in place; a repeated call does what is missing.

    Args:
        world: the world; its folder becomes the data root.
        depth_size: (height, width) of the depth ground truth; ``None`` makes none.
        say: receives one line per step.

    Raises:
        DiffBEVError: a step failed; the message states what to do.
    """
    say(synthesize(world).to_text())
    summary = prepare(PrepareJob(world.out, version=world.version, workers=world.workers))
    say(summary.to_text())
    if summary.failed:
        raise DiffBEVError(
            f"the synthetic world {world.out} could not be prepared; delete it and start again."
        )
    for split in ("train", "val") if depth_size else ():
        _make_depth(world, split, depth_size or (0, 0), say)
    return world.out


def _make_depth(world: SynthJob, split: str, size: tuple[int, int], say: Callable[[str], None]) -> None:
    job = DepthJob(
        nuscenes_root=world.out,
        output_dir=world.out / "ann_bev_dir",
        split=split,
        img_dir=world.out / "img_dir" / split,
        version=world.version,
        height=size[0],
        width=size[1],
        workers=world.workers,
    )
    summary = prepare_depth(job)
    say(summary.to_text())
    if summary.failed:
        raise DiffBEVError(
            f"could not create depth for the synthetic dataset {world.out}. Delete it and start again."
        )
