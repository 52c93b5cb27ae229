"""Labels and images of many frames, in this process or spread over several.

Frames travel in chunks of one location, so that a process loads few maps, and of whole samples,
so that six cameras share one sweep and one set of boxes.
"""

import signal
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.nuscenes.maps import load_map
from diffbev_engine.nuscenes.tables import Boxes, CameraFrame
from diffbev_engine.prepare.data_root import DataRoot, cannot_write
from diffbev_engine.prepare.encoding import write_label
from diffbev_engine.prepare.images import ImageMode, check_image, place_image
from diffbev_engine.prepare.labels import render_label
from diffbev_engine.prepare.lidar import read_sweep
from diffbev_engine.prepare.missing import MissingFile

_CHUNKS_AHEAD = 3  # queued per process: keeps all busy without holding every frame in memory


class OutputError(DiffBEVError):
    """The data root cannot be written, so that continuing makes no sense."""


@dataclass(frozen=True, eq=False)
class FrameTask:
    """What is missing of one frame."""

    frame: CameraFrame
    split: str
    needs_label: bool
    needs_image: bool


@dataclass(frozen=True, eq=False)
class Chunk:
    """Frames of whole samples at one location, with the boxes of those samples."""

    tasks: Sequence[FrameTask]
    boxes: Mapping[str, Boxes]
    """By sample token."""


@dataclass(frozen=True)
class Places:
    """Where to read and write, and how to draw."""

    nuscenes_root: Path
    output_dir: Path
    raster: str
    images: ImageMode = "link"


@dataclass(frozen=True)
class Outcome:
    """One frame is done, or failed for a reason that names the file."""

    token: str
    error: str | None = None
    missing: Path | None = None
    """The file whose absence is the error."""
    camera: str = ""
    stored: tuple[int, int] = (0, 0)
    """Width and height of the image on disk, where it could be read."""
    original: tuple[int, int] = (0, 0)
    """Width and height in the tables."""


def run_chunks(places: Places, chunks: Iterable[Chunk], workers: int) -> Generator[Outcome, None, None]:
    """Yield the outcome of every frame, in any order.

    A frame that fails for its own reasons is an outcome; the rest continues.

    Args:
        places: where to read and write.
        chunks: taken one by one as processes get free, so a generator keeps memory low.
        workers: processes; with 1 or less the work is done in this one.

    Raises:
        OutputError: the data root cannot be written. What was written before is whole.
        DiffBEVError: a worker process was killed.
    """
    if workers <= 1:
        for chunk in chunks:
            for task in chunk.tasks:
                yield _run_task(places, task, chunk.boxes[task.frame.sample_token])
        return
    # Started afresh rather than forked: a fork copies the locks of the threads of OpenCV and tqdm.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        yield from _keep_busy(pool, places, chunks, _CHUNKS_AHEAD * workers)
    except BrokenProcessPool as error:
        raise DiffBEVError(
            f"a worker process was killed, most likely because host memory ran out. Finished labels "
            f"are kept. Run the command again with --workers below {workers}."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _keep_busy(
    pool: ProcessPoolExecutor, places: Places, chunks: Iterable[Chunk], ahead: int
) -> Iterator[Outcome]:
    pending: set[Future[list[Outcome]]] = set()
    for chunk in chunks:
        with _interrupts_held():
            pending.add(pool.submit(_run_chunk, places, chunk))
        if len(pending) >= ahead:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            yield from future.result()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while a process may start, which inherits that for life.

    Ctrl-C reaches every process of a terminal.  The parent alone decides, and lets chunks finish;
    a worker would otherwise die of it, with a traceback, while still importing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism


def _run_chunk(places: Places, chunk: Chunk) -> list[Outcome]:
    return [_run_task(places, task, chunk.boxes[task.frame.sample_token]) for task in chunk.tasks]


def _run_task(places: Places, task: FrameTask, boxes: Boxes) -> Outcome:
    frame, token = task.frame, task.frame.token
    try:
        stored = _prepare_frame(places, task, boxes)
        return Outcome(token, camera=frame.camera, stored=stored, original=(frame.width, frame.height))
    except OutputError:
        raise
    except MissingFile as error:
        return Outcome(token, str(error), missing=error.path)
    except DiffBEVError as error:
        return Outcome(token, str(error))


def _prepare_frame(places: Places, task: FrameTask, boxes: Boxes) -> tuple[int, int]:
    """Label first, image last: an image in the data root always has its label."""
    frame, root = task.frame, DataRoot(places.output_dir)
    stored = check_image(frame)
    label = _draw(places, task.frame, boxes) if task.needs_label else None
    target = root.label(task.split, frame.token)
    try:
        if label is not None:
            write_label(target, label)
        if task.needs_image:
            target = root.image(task.split, frame.token)
            place_image(frame.image_path, target, places.images)
    except OSError as error:
        raise OutputError(str(cannot_write(target, error))) from error
    return stored


def _draw(places: Places, frame: CameraFrame, boxes: Boxes) -> np.ndarray:
    if frame.lidar is None:
        raise DiffBEVError(
            f"sample {frame.sample_token} of {frame.scene} has no LIDAR_TOP key frame in the "
            f"tables, so its occlusion mask is unknown. The sample is skipped."
        )
    points = _read_sweep(frame.lidar.path)
    map_layers = load_map(places.nuscenes_root, frame.location)
    return render_label(frame, boxes, map_layers, points, places.raster).encode()


@lru_cache(maxsize=2)
def _read_sweep(path: Path) -> np.ndarray:
    """Kept for the other cameras of the same sample."""
    return read_sweep(path)
