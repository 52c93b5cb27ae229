"""Depth ground truth for every image of a split: one ``.npz`` an image.

``<output_dir>/<split>_depth/<token>.npz`` holds ``depth`` (height, width) float32 in metres
and ``mask`` (height, width) uint8.  ``depth.json`` next to the files records the settings
they were made with, so that an interrupted run continues and changed settings start over.
"""

import itertools
import json
import multiprocessing
import signal
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import did_you_mean, make_writable_dir, write_text
from diffbev_engine.core.progress import track
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.core.state_file import Amount, Count, decode_file
from diffbev_engine.nuscenes.tables import CameraFrame, Frames, Tables
from diffbev_engine.prepare.depth import empty_depth, project_depth, write_depth
from diffbev_engine.prepare.lidar import read_sweep
from diffbev_engine.prepare.missing import missing_sweeps

MANIFEST = "depth.json"
_SETTINGS = dict[str, Count | Amount]
_FORMAT = 1  # count up when the same settings give other files
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_SWEEPS_PER_TASK = 8
_SWEEPS_AT_ONCE = 2048
_LINES_SHOWN = 20


@dataclass(frozen=True)
class DepthJob:
    """What to make, from what, and where."""

    nuscenes_root: Path
    output_dir: Path
    """The ``ann_bev_dir`` folder."""
    split: str
    """``train`` or ``val``: names the folder that is written."""
    img_dir: Path
    """Folder of the split's images; their stems are tokens."""
    cameras: tuple[str, ...] | None = None
    """Images of other cameras in ``img_dir`` get no file; None takes every camera."""
    version: str | None = None
    """Found when the root holds only one."""
    height: int = 600
    width: int = 800
    min_depth: float = 1.0
    """Metres; nearer points are dropped."""
    max_depth: float = 50.0
    """Metres; points at this depth or farther are dropped."""
    workers: int = 0
    """Processes; 0 or 1 works in this one."""
    cache_dir: Path | None = None
    """Where to keep the table index."""
    overwrite: bool = False
    """Replace files of another size or other limits; without it they are refused."""

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.output_dir / f"{self.split}_depth"


@dataclass
class DepthSummary:
    """What a run did."""

    folder: Path
    written: int = 0
    skipped: int = 0
    """Files that were there already."""
    without_lidar: int = 0
    """Of those written: images whose sample has no sweep, so that no pixel is known."""
    other_cameras: int = 0
    """Images of cameras that were not asked for."""
    failed: list[str] = field(default_factory=list)
    """One line per scene or archive without sweeps, per unreadable sweep, and for unknown images."""
    notes: list[str] = field(default_factory=list)
    """What the user should know though nothing failed."""
    mean_valid_ratio: float | None = None
    """Mean share of pixels with a depth over the files written; None when there were none."""
    elapsed: float = 0.0
    """Seconds."""

    def to_text(self) -> str:
        """Plain lines for a terminal or a log."""
        lines = [f"failed: {line}" for line in self.failed[:_LINES_SHOWN]]
        if len(self.failed) > _LINES_SHOWN:
            lines.append(f"failed: {len(self.failed) - _LINES_SHOWN} more of the same kind")
        lines += self.notes
        if self.without_lidar:
            lines.append(f"{self.without_lidar} images have no LiDAR sweep: their depth is empty")
        if self.other_cameras:
            lines.append(f"{self.other_cameras} images of other cameras were skipped")
        ratio = "" if self.mean_valid_ratio is None else f", {self.mean_valid_ratio:.2%} of pixels have depth"
        lines.append(
            f"{self.folder}: {self.written} written, {self.skipped} were there ({self.elapsed:.1f} s{ratio})"
        )
        return "\n".join(lines)


def prepare_depth(job: DepthJob) -> DepthSummary:
    """Write the depth ground truth of the images in ``job.img_dir``.

    Raises:
        UsageError: wrong settings, or no image there to make depth for.
        DiffBEVError: unusable tables, or the output cannot be written (disk full); files
            finished by then are whole, and the same call continues from there.
    """
    start = time.monotonic()
    _check_settings(job)
    summary = DepthSummary(job.folder)
    tables = Tables.open(job.nuscenes_root, job.version, job.cache_dir)
    frames = _frames_to_do(job, tables, summary)
    make_writable_dir(job.folder, "depth folder")
    _accept_settings(job, summary)
    whole = np.array([_is_whole(job.folder / f"{frame.token}.npz") for frame in frames], bool)
    missing = frames.take(~whole)
    summary.skipped = len(frames) - len(missing)
    lost, lines = missing_sweeps(frames, missing, tables.version)
    summary.failed += lines
    missing = missing.take(np.array([frame.token not in lost for frame in missing], bool))
    ratio_sum = 0.0
    for outcome in _outcomes(job, missing):
        summary.written += outcome.written
        summary.without_lidar += outcome.without_lidar
        ratio_sum += outcome.ratio_sum
        if outcome.failure:
            summary.failed.append(outcome.failure)
    if summary.written:
        summary.mean_valid_ratio = ratio_sum / summary.written
    summary.elapsed = time.monotonic() - start
    return summary


class _Outcome(NamedTuple):
    written: int = 0
    without_lidar: int = 0
    ratio_sum: float = 0.0
    failure: str = ""


def _write_group(job: DepthJob, frames: Sequence[CameraFrame]) -> _Outcome:
    """Write the files of frames that share one sweep; runs in a worker process."""
    lidar = frames[0].lidar
    try:
        points = read_sweep(lidar.path) if lidar else None
    except DiffBEVError as error:
        tokens = ", ".join(frame.token for frame in frames)
        return _Outcome(failure=f"{error} (no depth for image {tokens})")
    ratio_sum = 0.0
    for frame in frames:
        if points is None:
            depth, mask = empty_depth(job.height, job.width)
        else:
            depth, mask = project_depth(frame, points, job.height, job.width, job.min_depth, job.max_depth)
        path = job.folder / f"{frame.token}.npz"
        try:
            write_depth(path, depth, mask)
        except OSError as error:
            raise DiffBEVError(f"cannot write {path}: {error.strerror or error}") from error
        ratio_sum += float(mask.mean())
    return _Outcome(len(frames), len(frames) if lidar is None else 0, ratio_sum)


def _outcomes(job: DepthJob, frames: Frames) -> Iterator[_Outcome]:
    """Make the depth of all frames, in this process or in others, with progress."""
    write = partial(_write_group, job)
    what, count, groups = f"depth {job.split}", _sweeps(frames), _by_sweep(frames)
    try:
        if job.workers <= 1 or count <= 1:
            yield from track(map(write, groups), total=count, what=what)
            return
        context = multiprocessing.get_context("spawn")  # safe next to threads, the same everywhere
        # Ctrl-C reaches every process of the terminal: this one winds the others up in order.
        ignore_interrupt = (signal.SIGINT, signal.SIG_IGN)
        workers = min(job.workers, count)
        pool = ProcessPoolExecutor(workers, context, signal.signal, ignore_interrupt)
        try:
            # What a pool is given it takes at once, so it gets a part at a time.
            parts = iter(lambda: list(itertools.islice(groups, _SWEEPS_AT_ONCE)), [])
            results = (one for part in parts for one in pool.map(write, part, chunksize=_SWEEPS_PER_TASK))
            yield from track(results, total=count, what=what)
        finally:
            pool.shutdown(cancel_futures=True)
    except BrokenProcessPool as error:
        raise DiffBEVError(
            "a worker process was killed, possibly because memory ran out. Finished files are "
            "kept. Run the command again with fewer --workers."
        ) from error
    except DiffBEVError as error:
        raise DiffBEVError(
            f"{error}. Finished files are kept. Fix this, then run the same command again to continue."
        ) from error


def _frames_to_do(job: DepthJob, tables: Tables, summary: DepthSummary) -> Frames:
    """Frames of the images in ``img_dir``, of the wanted cameras; the others are counted."""
    images = _image_tokens(job.img_dir)
    known = images.intersection(tables.tokens(tables.cameras_present))
    cameras = tables.cameras_present if job.cameras is None else job.cameras
    wanted = known.intersection(tables.tokens(cameras))
    where = tables.root / tables.version
    if not wanted:
        raise UsageError(
            f"of {len(images)} images in {job.img_dir}, none is a key-frame of {', '.join(cameras)} "
            f"in {where} ({len(known)} are of other cameras). "
            "Choose the version and cameras the images were made with."
        )
    summary.other_cameras = len(known) - len(wanted)
    unknown = sorted(images - known)
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        summary.failed.append(f"{len(unknown)} images in {job.img_dir} are not in {where}: {shown}")
    return tables.frames_of(wanted)


def _image_tokens(img_dir: Path) -> set[str]:
    try:
        tokens = {path.stem for path in img_dir.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES}
    except OSError as error:
        raise UsageError(
            f"cannot list images in {img_dir}: {error.strerror or error}.{did_you_mean(img_dir)}"
        ) from error
    if not tokens:
        raise UsageError(f"no images in {img_dir}: run `prepare` first, or choose another folder")
    return tokens


def _by_sweep(frames: Frames) -> Iterator[list[CameraFrame]]:
    """Group the frames of a sample, so that its sweep is read once for all cameras."""
    groups = itertools.groupby(frames, key=lambda frame: frame.sample_token)
    return (list(group) for _, group in groups)


def _sweeps(frames: Frames) -> int:
    return sum(1 for _ in itertools.groupby(frame.sample_token for frame in frames))


def _accept_settings(job: DepthJob, summary: DepthSummary) -> None:
    """Refuse files made with other settings, or remove them with ``overwrite``; record the settings.

    Old files go before the new settings are written: whenever this is interrupted, no old
    file can be taken for a new one.
    """
    settings = {
        "format": _FORMAT,
        "height": job.height,
        "width": job.width,
        "min_depth": job.min_depth,
        "max_depth": job.max_depth,
    }
    manifest = job.folder / MANIFEST
    before = decode_file(manifest, _SETTINGS).value
    if before == settings:
        return
    old_files = sorted(job.folder.glob("*.npz"))
    if old_files and before is None:
        raise DiffBEVError(
            f"{job.folder} contains {len(old_files)} .npz files but no {MANIFEST} that records "
            f"their settings. Move or delete them, then run the command again."
        )
    if before is not None and old_files:
        if not job.overwrite:
            raise UsageError(
                f"{job.folder} holds {len(old_files)} depth files of {_in_words(before)}, not of "
                f"{_in_words(settings)}. Use the same settings, choose another --output-dir, or add "
                "--overwrite to replace them."
            )
        changed = [name for name in settings if before.get(name) != settings[name]]
        changes = ", ".join(f"{name} was {before.get(name)}, is {settings[name]}" for name in changed)
        summary.notes.append(
            f"settings changed ({changes}): {len(old_files)} files in {job.folder} are made again"
        )
    try:
        for path in old_files:
            path.unlink()
        write_text(manifest, json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise DiffBEVError(f"cannot write {job.folder}: {error.strerror or error}") from error


def _in_words(settings: Mapping[str, float]) -> str:
    """``600x800 (1 to 50 m)``."""
    height, width, low, high = (settings.get(key, 0) for key in ("height", "width", "min_depth", "max_depth"))
    return f"{height}x{width} ({low:g} to {high:g} m)"


def _is_whole(path: Path) -> bool:
    """False for an absent file and for one cut off, as a failed copy leaves behind."""
    try:
        with open_regular(path) as file:
            return zipfile.is_zipfile(file)
    except OSError:
        return False


def _check_settings(job: DepthJob) -> None:
    if job.split not in ("train", "val"):
        raise UsageError(f"split {job.split!r} is neither train nor val")
    if min(job.height, job.width) < 1:
        raise UsageError(f"depth images of {job.height} x {job.width} pixels: both must be at least 1")
    if not 0 <= job.min_depth < job.max_depth:
        raise UsageError(f"depths from {job.min_depth} to {job.max_depth} m: need 0 <= min < max")
    if job.cameras is not None and not job.cameras:
        raise UsageError("no camera chosen for depth")
