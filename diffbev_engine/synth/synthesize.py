"""Makes a synthetic world: scenes in parallel, then tables and maps, then the mark that it is whole."""

import json
import multiprocessing
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import make_writable_dir, sweep_abandoned, write_text
from diffbev_engine.core.progress import track
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.synth.itinerary import Canvas, Recording, arrange
from diffbev_engine.synth.job import SynthJob, SynthSummary
from diffbev_engine.synth.mapfile import MapBuilder
from diffbev_engine.synth.mapmask import write_mask
from diffbev_engine.synth.names import scene_names, token
from diffbev_engine.synth.recorder import CAMERA, LIDAR, SceneRecord, record_scene
from diffbev_engine.synth.tables import TableBuilder
from diffbev_engine.synth.world import build_site

MANIFEST = "synth.json"
_LARGEST = 64 << 20
_UNFINISHED = "synth.unfinished.json"
_GENERATOR = 2  # raised whenever the same settings give another world


def synthesize(job: SynthJob) -> SynthSummary:
    """Write a synthetic nuScenes root, or find it already there.

    Args:
        job: What to make and where.

    Returns:
        What the world holds.

    Raises:
        UsageError: The folder holds something else than this world.
        DiffBEVError: The folder cannot be written, or a worker process was killed.
    """
    finished = _finished_world(job)
    if finished is not None:
        return _summary(job, finished, already_there=True)
    make_writable_dir(job.out, "folder of the synthetic world")
    try:
        write_text(job.out / _UNFINISHED, json.dumps(_settings(job), indent=2) + "\n")
        content = _make(job)
        write_text(job.out / MANIFEST, json.dumps({**_settings(job), **content}, indent=2) + "\n")
        (job.out / _UNFINISHED).unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DiffBEVError(
            f"cannot write the synthetic world {job.out}: {reason}. Make room or choose another folder, "
            "then start the same command again."
        ) from error
    return _summary(job, content, already_there=False)


def _make(job: SynthJob) -> dict[str, Any]:
    """Write everything but the manifest; return what was made."""
    for channel in (CAMERA, LIDAR):
        (job.out / "samples" / channel).mkdir(parents=True, exist_ok=True)
        sweep_abandoned(job.out / "samples" / channel)
    recordings, canvases = arrange(job)
    builder = TableBuilder(job)
    with closing(_record(job, recordings)) as records:
        for record in track(records, total=len(recordings), what="synthetic scenes"):
            builder.add_scene(record)
    for location, canvas in canvases.items():
        here = [recording for recording in recordings if recording.location == location]
        builder.add_map(location, _write_maps(job, location, canvas, here))
    builder.write()
    names = {row["token"]: row["name"] for row in builder.tables["category"]}
    categories = {row["token"]: names[row["category_token"]] for row in builder.tables["instance"]}
    counts = Counter(categories[row["instance_token"]] for row in builder.tables["sample_annotation"])
    return {
        "scenes": [recording.scene for recording in recordings],
        "frames": len(builder.tables["sample"]),
        "annotations_by_category": dict(sorted(counts.items())),
    }


def _record(job: SynthJob, recordings: list[Recording]) -> Generator[SceneRecord, None, None]:
    """Record the scenes, in order, in ``job.workers`` processes."""
    if job.workers == 1 or len(recordings) == 1:
        yield from map(partial(record_scene, job), recordings)
        return
    pool = ProcessPoolExecutor(
        min(job.workers, len(recordings)),
        # Forking a process that runs threads may deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=cv2.setNumThreads,
        initargs=(1,),
    )
    try:
        yield from pool.map(partial(record_scene, job), recordings)
    except BrokenProcessPool as error:
        raise DiffBEVError(
            f"a worker process was killed while rendering a scene, most likely because memory ran "
            f"out. Run the command again with --workers below {job.workers}."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _write_maps(job: SynthJob, location: str, canvas: Canvas, recordings: list[Recording]) -> str:
    """Write the two maps of a location; return the mask's path below the root."""
    sites = [build_site(job.seed, r.scene, job.samples_per_scene, r.mirrored, r.centre) for r in recordings]
    vectors = MapBuilder(job.seed, location, canvas)
    for site in sites:
        vectors.add_site(site)
    vectors.write(job.out / "maps" / "expansion" / f"{location}.json")
    mask = f"maps/{token(job.seed, 'map', location)}.png"
    write_mask(job.out / mask, canvas, sites)
    return mask


def _settings(job: SynthJob) -> dict[str, Any]:
    return {"generator": _GENERATOR, "settings": job.settings()}


def _finished_world(job: SynthJob) -> dict[str, Any] | None:
    """Return the manifest of a finished world with the same settings, or None when there is room for one."""
    if not job.out.exists():
        return None
    if not job.out.is_dir():
        raise UsageError(f"{job.out} is a file, not a folder: choose another place for the synthetic world.")
    for name in (MANIFEST, _UNFINISHED):
        manifest = _read_manifest(job.out / name)
        if manifest is None:
            continue
        if {key: manifest.get(key) for key in _settings(job)} != _settings(job):
            raise UsageError(
                f"{job.out} contains a synthetic dataset with different settings "
                f"({manifest.get('settings')}). Choose another directory, or delete this one."
            )
        return manifest if name == MANIFEST else None
    if any(job.out.iterdir()):
        raise UsageError(f"{job.out} is not empty: choose a new or empty folder for the synthetic world.")
    return None


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read_bounded(path, _LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read {path} ({error}): choose another folder, or delete this one."
        ) from error
    return content if isinstance(content, dict) else {}


def _summary(job: SynthJob, content: dict[str, Any], already_there: bool) -> SynthSummary:
    counts = content["annotations_by_category"]
    return SynthSummary(
        root=job.out,
        version=job.version,
        scenes=tuple(content["scenes"]),
        val_scenes=scene_names(job.scenes)[1],
        frames=content["frames"],
        annotations=sum(counts.values()),
        annotations_by_category=counts,
        already_there=already_there,
    )
