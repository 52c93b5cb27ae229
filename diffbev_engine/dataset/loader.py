"""Loader processes: the files of a data root as batches, in a given order."""

import atexit
import gc
import multiprocessing
import random
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.order import ALONE, Shard, TrainingOrder, evaluation_batches
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.dataset.sample import Batch, Sample, collate, load_sample
from diffbev_engine.dataset.settings import DataSettings
from diffbev_engine.dataset.waiting import drawn_in_a_thread
from diffbev_engine.runs.process import STOP_SIGNALS

_PREFETCHED_BATCHES = 4


class BEVDataset(Dataset[Sample | DiffBEVError]):
    """Samples by position; a damaged file comes back as its error.

    An exception raised in a loader process would reach the user as that process's traceback.
    """

    def __init__(self, records: Sequence[SampleRecord], settings: DataSettings) -> None:
        self.records = records
        self._settings = settings

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample | DiffBEVError:
        try:
            return load_sample(
                self.records[index],
                self._settings.image_size,
                with_depth=self._settings.load_depth,
                cache=self._settings.frame_cache,
            )
        except DiffBEVError as error:
            return error


WhileWaiting = Callable[[float], None]
"""Called four times a second while a batch is not there yet, with the seconds so far; may raise."""


def training_batches(
    dataset: BEVDataset, order: TrainingOrder, workers: int, while_waiting: WhileWaiting | None = None
) -> Generator[Batch, None, None]:
    """Batches without end in the given order; close it, or its loader processes outlive it.

    Raises:
        DiffBEVError: naming a damaged file, when its batch is reached.
    """
    return _watched(_checked(iter(_loader(dataset, order, workers, order.seed))), while_waiting)


def evaluation_loader(
    dataset: BEVDataset,
    batch_size: int,
    workers: int,
    shard: Shard = ALONE,
    while_waiting: WhileWaiting | None = None,
) -> Generator[Batch | None, None, None]:
    """Every sample once, in order; ``None`` stands for a batch that only other processes have.

    Raises:
        DiffBEVError: naming a damaged file, when its batch is reached.
    """
    batches = evaluation_batches(len(dataset), batch_size, shard)
    filled = [batch for batch in batches if batch]
    loaded = _checked(iter(_loader(dataset, filled, workers, seed=0)))
    return _filled_up(_watched(loaded, while_waiting), len(batches) - len(filled))


def _filled_up(batches: Generator[Batch, None, None], blanks: int) -> Generator[Batch | None, None, None]:
    with closing(batches):
        yield from batches
    yield from [None] * blanks


def _watched(
    batches: Generator[Batch, None, None], while_waiting: WhileWaiting | None
) -> Generator[Batch, None, None]:
    return drawn_in_a_thread(batches, while_waiting, end_workers) if while_waiting else batches


def _loader(
    dataset: BEVDataset, batches: Iterable[list[int]], workers: int, seed: int
) -> Iterable[Batch | DiffBEVError]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate_or_error,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=_PREFETCHED_BATCHES if workers else None,
        worker_init_fn=partial(_start_worker, seed=seed),
        generator=torch.Generator().manual_seed(seed),
    )
    return loader


def _collate_or_error(samples: list[Sample | DiffBEVError]) -> Batch | DiffBEVError:
    good = [sample for sample in samples if isinstance(sample, Sample)]
    errors = [sample for sample in samples if isinstance(sample, DiffBEVError)]
    return errors[0] if errors else collate(good)


def _checked(batches: Iterator[Batch | DiffBEVError]) -> Generator[Batch, None, None]:
    for batch in batches:
        if isinstance(batch, DiffBEVError):
            break
        yield batch
    else:
        return
    # Shuts the loader's processes down.  Otherwise the error's traceback keeps the loader until garbage
    # collection, which may close its queues first: then joining each process runs into a timeout of seconds.
    del batches
    raise batch


@atexit.register
def end_workers() -> None:
    """Kill the loader processes that an unexpected error left open, or that hang.

    multiprocessing's own exit handler would send them SIGTERM, which they do not heed, and wait.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report each as a crash
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _start_worker(worker: int, seed: int) -> None:
    # Ctrl+C and a scheduler's SIGTERM reach the whole process group; the training process
    # decides, and closes its loaders when it leaves.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # A collection writes to every object it looks at, and so copies the pages shared with the parent.
    gc.freeze()
    cv2.setNumThreads(0)
    random.seed(f"{seed}/{worker}")
    np.random.seed([seed % 2**32, worker])
    torch.manual_seed(seed * 1009 + worker)
