"""What the loader really outputs for depth supervision, and whether it can be used."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import torch

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.loader import BEVDataset, evaluation_loader
from diffbev_engine.dataset.records import SampleRecord, coverage_of
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.dataset.settings import DataSettings

NEAREST_M, FARTHEST_M = 1.0, 50.0
"""Depths that the lift can represent, metres."""


@dataclass(frozen=True)
class DepthField:
    """One field of the batch that was checked."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class DepthCheck:
    """One batch of size 1, and a summary of several."""

    token: str
    file: str
    gt_depth: DepthField
    gt_depth_mask: DepthField
    depth_m: tuple[float, float] | None
    """Nearest and farthest valid depth of the batch, metres; ``None`` without any."""
    valid_ratio: float
    """Share of the pixels of the batch that have a depth."""
    samples: int
    """How many samples the following values are from."""
    mean_valid_ratio: float
    empty: int
    """Samples without any depth."""
    problem: str | None
    """What is wrong, where, and what to do."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "ok": self.problem is None}

    def to_text(self) -> str:
        """Plain lines for a terminal or a log."""
        depths = "none" if self.depth_m is None else "{:.2f} to {:.2f} m".format(*self.depth_m)
        lines = [
            f"batch of 1: {self.token} ({self.file})",
            f"gt_depth: shape {list(self.gt_depth.shape)}, {self.gt_depth.dtype}, valid depths {depths}",
            f"gt_depth_mask: shape {list(self.gt_depth_mask.shape)}, {self.gt_depth_mask.dtype}",
            f"gt_depth_mask valid_ratio: {self.valid_ratio:.4f}",
            f"mean valid_ratio of {self.samples} samples: {self.mean_valid_ratio:.4f}",
        ]
        if self.empty:
            lines.append(f"note: {self.empty} of {self.samples} samples have no valid depth")
        return "\n".join([*lines, f"problem: {self.problem}" if self.problem else "depth is usable"])


def check_depth(records: Sequence[SampleRecord], settings: DataSettings, samples: int) -> DepthCheck:
    """Send samples through the loader, one per batch, and check their depth.

    Args:
        records: the samples of a split; ``samples`` of them are taken, evenly spaced.
        settings: of the configuration, with ``load_depth``.
        samples: how many to check; the first is shown.

    Raises:
        DiffBEVError: depth that is not loaded, not there (for any sample of the split), damaged, or of
            another size than the images.
    """
    if not settings.load_depth:
        raise DiffBEVError(
            "data.load_depth is False: with this configuration the loader outputs no gt_depth. "
            "Set data.load_depth=True, or check the configuration of a model with depth supervision."
        )
    samples = min(samples, len(records))
    chosen = [records[number * len(records) // samples] for number in range(samples)]
    _require_coverage(records, settings)
    ratios, ranges, first = [], [], None
    with closing(evaluation_loader(BEVDataset(chosen, settings), batch_size=1, workers=0)) as batches:
        for batch in batches:
            assert batch is not None, "one process has every batch"
            first = first or batch
            depth = _depth_of(batch)
            valid = depth[depth != 0]
            ratios.append(valid.numel() / depth.numel())
            if valid.numel():
                ranges.append((valid.min().item(), valid.max().item()))
    assert first is not None, "a split is never empty"
    depth = _depth_of(first)
    return DepthCheck(
        token=chosen[0].token,
        file=str(chosen[0].depth),
        gt_depth=DepthField(tuple(depth.shape), _name(depth.dtype)),
        gt_depth_mask=DepthField(tuple(depth.shape), _name(torch.bool)),
        depth_m=ranges[0] if ratios[0] else None,
        valid_ratio=ratios[0],
        samples=samples,
        mean_valid_ratio=sum(ratios) / samples,
        empty=ratios.count(0),
        problem=_problem(chosen, settings, ratios, ranges),
    )


def _problem(
    chosen: Sequence[SampleRecord],
    settings: DataSettings,
    ratios: Sequence[float],
    ranges: Sequence[tuple[float, float]],
) -> str | None:
    if not ratios[0]:
        return (
            f"{chosen[0].depth} has no valid depth, so this sample would not be supervised. Check that its "
            f"LiDAR sweep is there, delete the file and run {_command(settings)} again."
        )
    inside = all(low >= NEAREST_M and high <= FARTHEST_M for low, high in ranges)  # NaN is not
    if not inside:
        nearest, farthest = min(low for low, _ in ranges), max(high for _, high in ranges)
        return (
            f"depths in {chosen[0].depth.parent} are {nearest:.2f} to {farthest:.2f} m, outside "
            f"{NEAREST_M:g} to {FARTHEST_M:g} m. Make them again in metres: move the folder away and run "
            f"{_command(settings)} --min-depth {NEAREST_M:g} --max-depth {FARTHEST_M:g}."
        )
    return None


def _require_coverage(records: Sequence[SampleRecord], settings: DataSettings) -> None:
    found = coverage_of(records, settings.image_size)
    if found.wrong_size:
        raise DiffBEVError(f"{found.directory}: {found.describe().en}. Run `{found.remedy()}`.")
    if not found.complete:
        words = found.describe().en.replace("images have no depth", "samples have no depth ground truth", 1)
        raise DiffBEVError(
            f"{words} (first: {found.directory / found.first_missing}). Create it with `{found.remedy()}`."
        )


def _command(settings: DataSettings) -> str:
    height, width = settings.image_size
    return f"`diffbev-engine prepare-depth --nuscenes-root DIR --height {height} --width {width}`"


def _depth_of(batch: Batch) -> torch.Tensor:
    """(1, 1, H, W) metres."""
    assert batch.depth is not None, "load_depth is set"
    return batch.depth[:, None]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
