"""The order of training samples: a pure function of (seed, epoch, step), so resuming costs nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Shard:
    """The part of the work that one of ``world_size`` processes does."""

    rank: int = 0
    world_size: int = 1


ALONE = Shard()
"""The only process."""


@lru_cache(maxsize=4)
def epoch_permutation(samples: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch, the same on every machine; shape (samples,)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(samples)


class TrainingOrder:
    """Batches of sample indices without end, from any position on.

    Position p of the global stream is entry p % samples of epoch p // samples; batch b of a
    process takes ``batch_size`` positions, the processes side by side.  Nothing is
    remembered, so the stream from batch b on is the same whether or not the batches before
    it were drawn.  Batches may span two epochs; no sample is dropped.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int, *, shard: Shard = ALONE, first_batch: int = 0
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.shard = shard
        self.first_batch = first_batch

    def batch(self, number: int) -> list[int]:
        """Sample indices of batch ``number`` of this process."""
        start = (number * self.shard.world_size + self.shard.rank) * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        epochs = positions // self.samples
        orders = {epoch: epoch_permutation(self.samples, self.seed, epoch) for epoch in np.unique(epochs)}
        return [int(orders[epoch][p % self.samples]) for epoch, p in zip(epochs, positions, strict=True)]

    def __iter__(self) -> Iterator[list[int]]:
        number = self.first_batch
        while True:
            yield self.batch(number)
            number += 1


def evaluation_batches(samples: int, batch_size: int, shard: Shard) -> list[list[int]]:
    """Every sample once, dealt to the processes; all get equally many batches, some of them empty."""
    mine = range(shard.rank, samples, shard.world_size)
    longest = -(-samples // shard.world_size)
    return [list(mine[start : start + batch_size]) for start in range(0, longest, batch_size)]
