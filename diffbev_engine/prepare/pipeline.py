"""From raw nuScenes to a data root: labels, linked images, intrinsics and an index.

A run does what is missing and nothing else, so it can be interrupted and repeated.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from diffbev_engine.core.errors import DiffBEVError, ExitCode, UsageError
from diffbev_engine.core.files import make_writable_dir
from diffbev_engine.core.progress import track
from diffbev_engine.nuscenes.maps import MapLayers, load_map
from diffbev_engine.nuscenes.splits import explain_empty_side, resolve_split
from diffbev_engine.nuscenes.tables import CameraFrame, Tables
from diffbev_engine.prepare.compatibility import check_same_settings, forget_earlier_labels, merged_record
from diffbev_engine.prepare.data_root import (
    SPLITS,
    DataRoot,
    IndexEntry,
    PrepareRecord,
    as_rows,
    write_register,
)
from diffbev_engine.prepare.raster import RASTERS
from diffbev_engine.prepare.summary import Failures, PrepareSummary, failures_path
from diffbev_engine.prepare.workers import Chunk, FrameTask, Places, run_chunks

_FRAMES_A_CHUNK = 32
_FRAMES_A_PROCESS = 128  # a process takes a second to start, as long as this many labels


class PreparationInterrupted(DiffBEVError):
    """Stopped by Ctrl-C; all that was finished is kept."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True)
class PrepareJob:
    """What to prepare and how."""

    nuscenes_root: Path
    version: str | None = None
    """Table folder such as ``v1.0-mini``; None finds the only one."""
    output_dir: Path | None = None
    """Data root; None writes into ``nuscenes_root``."""
    cameras: tuple[str, ...] | None = ("CAM_FRONT",)
    """Channels; None takes every camera of the tables."""
    split: str = "pon"
    """``pon``, ``official`` or ``scene-0523=train,scene-0916=val``."""
    raster: str = "exact"
    """``exact``, or ``pon`` for labels as published numbers used them."""
    workers: int | None = None
    """Processes; None takes all cores, 1 works in this process."""
    cache_dir: Path | None = None
    """Of the table index."""
    overwrite: bool = False
    """Make all labels anew, and allow other settings than those of the labels that are there."""


def prepare(job: PrepareJob) -> PrepareSummary:
    """Write labels, images, ``calib.json``, ``index.jsonl`` and ``prepare.json``.

    Frames that cannot be prepared are left out and named in the summary.

    Raises:
        UsageError: unknown camera, split or raster, or other settings than the labels already there.
        DiffBEVError: the tables are unusable, or the data root cannot be written.
        PreparationInterrupted: Ctrl-C; running again continues.
    """
    try:
        return _prepare(job)
    except KeyboardInterrupt as error:
        raise PreparationInterrupted("interrupted. Run the same command again: it continues.") from error


def _prepare(job: PrepareJob) -> PrepareSummary:
    started = time.monotonic()
    tables, frames, wanted = _resolve(job)
    root = _open_root(job, wanted, frames)
    record = merged_record(root.read_record(), wanted)
    root.write_record(record)

    failures = Failures()
    maps = _load_maps(job.nuscenes_root, frames)
    tasks = _missing(root, frames, wanted.scenes, job.overwrite)
    for task in tasks:
        if isinstance(problem := maps[task.frame.location], DiffBEVError):
            failures.add(str(problem), task.frame.token)
    possible = [task for task in tasks if task.frame.token not in failures.tokens]
    interrupted = _run(job, root, tables, possible, failures)

    record = _register(root, record, frames, maps, complete=not (interrupted or failures.tokens))
    if interrupted:
        done = sum(record.images.values())
        raise PreparationInterrupted(
            f"interrupted: {root.root} holds {done} labelled images, all whole. "
            "Run the same command again: it continues."
        )
    _write_failures(root, failures)
    return PrepareSummary(
        output_dir=root.root,
        record=record,
        written=len(tasks) - len(failures.tokens),
        kept=len(frames) - len(tasks),
        failed=failures.grouped(),
        note=explain_empty_side(job.split, tables.scenes, wanted.scenes),
        maps={location: found for location, found in maps.items() if isinstance(found, MapLayers)},
        seconds=time.monotonic() - started,
    )


def _resolve(job: PrepareJob) -> tuple[Tables, list[CameraFrame], PrepareRecord]:
    """Open the tables, pick the frames, and name the settings."""
    if job.raster not in RASTERS:
        raise UsageError(f"unknown raster {job.raster!r}: choose {' or '.join(RASTERS)}")
    tables = Tables.open(job.nuscenes_root, job.version, job.cache_dir)
    cameras = tuple(tables.cameras_present) if job.cameras is None else job.cameras
    sides = resolve_split(job.split, tables.scenes, tables.version)
    frames = tables.frames(cameras, scenes=sides)
    if not frames:
        why = explain_empty_side(job.split, tables.scenes, sides) or "the chosen cameras have no key-frames."
        raise UsageError(f"nothing to prepare in {job.nuscenes_root}: {why}")
    return tables, frames, PrepareRecord(tables.version, job.split, cameras, job.raster, scenes=sides)


def _open_root(job: PrepareJob, wanted: PrepareRecord, frames: Sequence[CameraFrame]) -> DataRoot:
    root = DataRoot((job.output_dir or job.nuscenes_root).absolute())
    for split in SPLITS:
        make_writable_dir(root.image_dir(split), "image folder")
        make_writable_dir(root.label_dir(split), "label folder")
    if job.overwrite:
        forget_earlier_labels(root, wanted, frames)
    check_same_settings(root, wanted)
    return root


def _load_maps(nuscenes_root: Path, frames: Sequence[CameraFrame]) -> dict[str, MapLayers | DiffBEVError]:
    """The map of each location, or why there is none: one message, however many frames need it."""
    maps: dict[str, MapLayers | DiffBEVError] = {}
    for location in sorted({frame.location for frame in frames}):
        try:
            maps[location] = load_map(nuscenes_root, location)
        except DiffBEVError as error:
            maps[location] = error
    return maps


def _missing(
    root: DataRoot, frames: Sequence[CameraFrame], sides: Mapping[str, str], overwrite: bool
) -> list[FrameTask]:
    """What each frame lacks; writes are atomic, so a file that is there is whole."""
    labels = {split: root.labels(split) for split in SPLITS}
    images = {split: root.images(split) for split in SPLITS}
    tasks = []
    for frame in frames:
        split = sides[frame.scene]
        needs_label = overwrite or frame.token not in labels[split]
        needs_image = frame.token not in images[split]
        if needs_label or needs_image:
            tasks.append(FrameTask(frame, split, needs_label, needs_image))
    return tasks


def _run(
    job: PrepareJob, root: DataRoot, tables: Tables, tasks: Sequence[FrameTask], failures: Failures
) -> bool:
    """Do the tasks and collect failures; True when Ctrl-C stopped it."""
    workers = min(job.workers or os.cpu_count() or 1, len(tasks) // _FRAMES_A_PROCESS)
    places = Places(job.nuscenes_root, root.root, job.raster)
    try:
        with closing(run_chunks(places, _chunks(tables, tasks), workers)) as outcomes:
            for outcome in track(outcomes, total=len(tasks), what="labels"):
                if outcome.error is not None:
                    failures.add(outcome.error, outcome.token)
    except KeyboardInterrupt:
        return True
    return False


def _chunks(tables: Tables, tasks: Sequence[FrameTask]) -> Iterator[Chunk]:
    """Runs of whole samples at one location."""
    samples: dict[tuple[str, str], list[FrameTask]] = {}
    for task in tasks:
        samples.setdefault((task.frame.location, task.frame.sample_token), []).append(task)
    ordered = sorted(samples.items(), key=lambda item: item[0][0])
    chunk: list[FrameTask] = []
    for position, ((location, _), sample) in enumerate(ordered):
        chunk += sample
        last_here = position + 1 == len(ordered) or ordered[position + 1][0][0] != location
        if last_here or len(chunk) >= _FRAMES_A_CHUNK:
            boxes = {task.frame.sample_token: tables.boxes(task.frame.sample_token) for task in chunk}
            yield Chunk(chunk, boxes)
            chunk = []


def _register(
    root: DataRoot,
    record: PrepareRecord,
    frames: Sequence[CameraFrame],
    maps: Mapping[str, MapLayers | DiffBEVError],
    complete: bool,
) -> PrepareRecord:
    """Write the three registers: exactly the images with a label, of this and of earlier runs."""
    entries = {entry.token: entry for entry in root.read_index()}
    calib = root.read_calib()
    versions = set(filter(None, record.map_version.split(",")))
    for frame in frames:
        found = maps[frame.location]
        if isinstance(found, MapLayers):
            versions.add(found.version)
            entries[frame.token] = _entry(frame, record.scenes[frame.scene], found.unlabelled)
            calib[frame.token] = as_rows(frame.intrinsics)
    whole = {split: root.images(split).keys() & root.labels(split).keys() for split in SPLITS}
    entries = {
        token: entry
        for token, entry in entries.items()
        if token in whole.get(entry.split, ()) and token in calib
    }
    root.write_index(list(entries.values()))
    root.write_calib({token: calib[token] for token in entries})
    images = {split: sum(entry.split == split for entry in entries.values()) for split in SPLITS}
    record = msgspec.structs.replace(
        record, map_version=",".join(sorted(versions)), images=images, complete=complete
    )
    root.write_record(record)
    return record


def _entry(frame: CameraFrame, split: str, unlabelled: tuple[str, ...]) -> IndexEntry:
    return IndexEntry(
        token=frame.token,
        camera=frame.camera,
        scene=frame.scene,
        sample=frame.sample_token,
        timestamp=frame.timestamp,
        location=frame.location,
        split=split,
        unlabelled=unlabelled,
    )


def _write_failures(root: DataRoot, failures: Failures) -> None:
    path = failures_path(root.root)
    if failures.tokens:
        lines = [f"{failure}: {' '.join(failure.tokens)}\n" for failure in failures.grouped()]
        write_register(path, "".join(lines).encode())
    else:
        path.unlink(missing_ok=True)
