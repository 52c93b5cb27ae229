"""From raw nuScenes to a data root: labels, linked images, intrinsics and an index.

A run does what is missing and nothing else, so it can be interrupted and repeated.
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from diffbev_engine.core.classes import OBJECT_CLASSES
from diffbev_engine.core.errors import DiffBEVError, ExitCode, UsageError
from diffbev_engine.core.files import make_writable_dir, sweep_abandoned
from diffbev_engine.core.progress import track
from diffbev_engine.nuscenes.maps import MapLayers, load_map
from diffbev_engine.nuscenes.splits import explain_empty_side, resolve_split
from diffbev_engine.nuscenes.tables import CameraFrame, Frames, Tables
from diffbev_engine.nuscenes.versions import find_version, require_annotations
from diffbev_engine.prepare.compatibility import check_same_settings, forget_earlier_labels, merged_record
from diffbev_engine.prepare.data_root import (
    SPLITS,
    DataRoot,
    IndexEntry,
    PrepareRecord,
    as_rows,
)
from diffbev_engine.prepare.images import ImageMode, StoredSizes, choose_placement, table_sizes
from diffbev_engine.prepare.raster import RASTERS
from diffbev_engine.prepare.summary import Failures, PrepareSummary, write_failures
from diffbev_engine.prepare.tasks import Tasks, foreseen_failures, missing_of
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
    """Recreate all labels, and allow other settings than those of the labels that are there."""
    images: ImageMode = "link"
    """How images get into the data root; ``link`` copies where hard links are not possible."""
    skip_missing: bool = False
    """Leave out images whose files do not exist, and record how many."""


def prepare(job: PrepareJob) -> PrepareSummary:
    """Write labels, images, ``calib.json``, ``index.jsonl`` and ``prepare.json``.

    Frames that cannot be prepared are skipped and named in the summary.

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
    root, notes = _open_root(job, wanted, tables)
    maps = _load_maps(job.nuscenes_root, frames)
    tasks = missing_of(root, frames, wanted.scenes, job.overwrite)
    failures, possible = foreseen_failures(tasks, maps)
    placement = choose_placement(job.images, possible.images_to_place, root.image_dir("train"))

    record = merged_record(root.read_record(), wanted)
    root.write_record(record)
    sizes = StoredSizes()
    places = Places(job.nuscenes_root, root.root, job.raster, placement.mode)
    interrupted = _run(job, places, tables, possible, failures, sizes)

    skipped = failures.grouped_missing(frames, tables.version)
    record = msgspec.structs.replace(
        record,
        complete=not (interrupted or failures.tokens),
        skipped=_per_scene(frames, failures.missing) if job.skip_missing else {},
    )
    record = _register(root, record, frames, maps, tables.unannotated_scenes())
    if interrupted:
        done = sum(record.images.values())
        raise PreparationInterrupted(
            f"interrupted: {root.root} holds {done} labelled images, all whole. "
            "Run the same command again: it continues."
        )
    failed = failures.grouped() if job.skip_missing else (*skipped, *failures.grouped())
    write_failures(root.root, failed)
    return PrepareSummary(
        output_dir=root.root,
        record=record,
        written=len(tasks) - len(failures.tokens),
        kept=len(frames) - len(tasks),
        failed=failed,
        skipped=skipped if job.skip_missing else (),
        note=_empty_side(job, tables, _filled(record) if job.skip_missing else record.scenes),
        notes=(*notes, *placement.notes, *sizes.notes()),
        unannotated=tuple(sorted(tables.unannotated_scenes() & wanted.scenes.keys())),
        maps={location: found for location, found in maps.items() if isinstance(found, MapLayers)},
        seconds=time.monotonic() - started,
    )


def _resolve(job: PrepareJob) -> tuple[Tables, Frames, PrepareRecord]:
    """Open the tables, pick the frames, and name the settings."""
    if job.raster not in RASTERS:
        raise UsageError(f"unknown raster {job.raster!r}: choose {' or '.join(RASTERS)}")
    require_annotations(job.nuscenes_root, find_version(job.nuscenes_root, job.version))
    tables = Tables.open(job.nuscenes_root, job.version, job.cache_dir)
    cameras = tuple(tables.cameras_present) if job.cameras is None else job.cameras
    sides = resolve_split(job.split, tables.scenes, tables.version)
    frames = tables.frames(cameras, scenes=sides)
    if not frames:
        why = _empty_side(job, tables, sides) or "the chosen cameras have no key frames."
        raise UsageError(f"nothing to prepare in {job.nuscenes_root}: {why}")
    record = PrepareRecord(tables.version, job.split, cameras, job.raster, scenes=sides)
    return tables, frames, msgspec.structs.replace(record, image_sizes=table_sizes(frames))


def _open_root(job: PrepareJob, wanted: PrepareRecord, tables: Tables) -> tuple[DataRoot, list[str]]:
    """The data root, free of labels of other settings, and what was removed for that."""
    root = DataRoot((job.output_dir or job.nuscenes_root).absolute())
    try:
        for split in SPLITS:
            make_writable_dir(root.image_dir(split), "image directory")
            make_writable_dir(root.label_dir(split), "label directory")
        sweep_abandoned(root.root)
    except DiffBEVError as error:
        if job.output_dir is None:
            raise DiffBEVError(
                f"{error} For a read-only nuScenes root, write the data root elsewhere with --output-dir DIR "
                "(and create the workspace with `diffbev-engine init … --data-root DIR`)."
            ) from error
        raise
    notes = []
    if job.overwrite:
        sides = {split: [s for s, side in wanted.scenes.items() if side == split] for split in SPLITS}
        cameras = tables.cameras_present
        tokens = {split: frozenset(tables.tokens(cameras, scenes)) for split, scenes in sides.items()}
        if removed := forget_earlier_labels(root, wanted, tokens):
            notes.append(
                f"{removed} depth files of images that are now in the other part of the split were removed: "
                "run `diffbev-engine prepare-depth` again"
            )
    check_same_settings(root, wanted)
    return root, notes


def _filled(record: PrepareRecord) -> dict[str, str]:
    """Scenes of this run by side, less those of which nothing could be prepared."""
    return {scene: side for scene, side in record.scenes.items() if record.images.get(side)}


def _per_scene(frames: Frames, tokens: Collection[str]) -> dict[str, int]:
    if not tokens:
        return {}
    return dict(sorted(Counter(frame.scene for frame in frames if frame.token in tokens).items()))


def _empty_side(job: PrepareJob, tables: Tables, sides: Mapping[str, str]) -> str | None:
    """What to do when train or val got no scene; unannotated scenes are no example to follow."""
    return explain_empty_side(job.split, set(tables.scenes) - tables.unannotated_scenes(), sides)


def _load_maps(nuscenes_root: Path, frames: Frames) -> dict[str, MapLayers | DiffBEVError]:
    """The map of each location, or why there is none: one message, however many frames need it."""
    maps: dict[str, MapLayers | DiffBEVError] = {}
    for location in sorted({frame.location for frame in frames}):
        try:
            maps[location] = load_map(nuscenes_root, location)
        except DiffBEVError as error:
            maps[location] = error
    return maps


def _run(
    job: PrepareJob,
    places: Places,
    tables: Tables,
    tasks: Tasks,
    failures: Failures,
    sizes: StoredSizes,
) -> bool:
    """Do the tasks and collect what came of them; True when Ctrl-C stopped it."""
    workers = min(job.workers or os.cpu_count() or 1, len(tasks) // _FRAMES_A_PROCESS)
    try:
        with closing(run_chunks(places, _chunks(tables, tasks), workers)) as outcomes:
            for outcome in track(outcomes, total=len(tasks), what="labels"):
                if outcome.missing is not None:
                    failures.missing[outcome.token] = [outcome.missing]
                elif outcome.error is not None:
                    failures.add(outcome.error, outcome.token)
                else:
                    sizes.add(outcome.camera, outcome.stored, outcome.original)
    except KeyboardInterrupt:
        return True
    return False


def _chunks(tables: Tables, tasks: Tasks) -> Iterator[Chunk]:
    """Runs of whole samples at one location."""

    def with_boxes(chunk: list[FrameTask]) -> Chunk:
        return Chunk(
            chunk,
            {name: tables.boxes(name) for name in dict.fromkeys(task.frame.sample_token for task in chunk)},
        )

    chunk: list[FrameTask] = []
    for (location, _), sample in itertools.groupby(
        tasks.by_location(), key=lambda task: (task.frame.location, task.frame.sample_token)
    ):
        if chunk and (chunk[0].frame.location != location or len(chunk) >= _FRAMES_A_CHUNK):
            yield with_boxes(chunk)
            chunk = []
        chunk += sample
    if chunk:
        yield with_boxes(chunk)


def _register(
    root: DataRoot,
    record: PrepareRecord,
    frames: Frames,
    maps: Mapping[str, MapLayers | DiffBEVError],
    unannotated: Collection[str],
) -> PrepareRecord:
    """Write the three registers: exactly the images with a label, of this and of earlier runs."""
    entries = {entry.token: entry for entry in root.iterate_index()}
    calib = root.read_calib()
    versions, rows = set(filter(None, record.map_version.split(","))), dict[bytes, list[list[float]]]()
    for frame in frames:
        found = maps[frame.location]
        if isinstance(found, MapLayers):
            versions.add(found.version)
            unknown = (*found.unlabelled, *(OBJECT_CLASSES if frame.scene in unannotated else ()))
            entries[frame.token] = _entry(frame, record.scenes[frame.scene], unknown)
            key = frame.intrinsics.tobytes()
            calib[frame.token] = rows[key] = rows.get(key) or as_rows(frame.intrinsics)
    whole = {split: root.images(split).keys() & root.labels(split).keys() for split in SPLITS}
    entries = {
        token: entry
        for token, entry in entries.items()
        if token in whole.get(entry.split, ()) and token in calib
    }
    root.write_index(list(entries.values()))
    root.write_calib({token: calib[token] for token in entries})
    images = {split: sum(entry.split == split for entry in entries.values()) for split in SPLITS}
    record = msgspec.structs.replace(record, map_version=",".join(sorted(versions)), images=images)
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
