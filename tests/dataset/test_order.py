"""The data order is a pure function of (seed, epoch, step)."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.dataset.order import Shard, TrainingOrder, epoch_permutation, evaluation_batches

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**40)


@given(sizes, st.integers(1, 7), seeds, st.integers(0, 30))
def test_starting_late_gives_the_same_batches(samples, batch_size, seed, first):
    whole = itertools.islice(TrainingOrder(samples, batch_size, seed), first, first + 5)
    late = itertools.islice(TrainingOrder(samples, batch_size, seed, first_batch=first), 5)
    assert list(whole) == list(late)


@given(sizes, st.integers(1, 7), seeds)
def test_every_epoch_takes_every_sample_once(samples, batch_size, seed):
    stream = itertools.chain.from_iterable(TrainingOrder(samples, batch_size, seed))
    for _ in range(3):
        assert sorted(itertools.islice(stream, samples)) == list(range(samples))


@given(sizes, st.integers(1, 4), seeds, st.integers(1, 4), st.integers(0, 9))
def test_processes_share_one_global_batch(samples, batch_size, seed, world_size, number):
    shards = [Shard(rank, world_size) for rank in range(world_size)]
    parts = [TrainingOrder(samples, batch_size, seed, shard=shard).batch(number) for shard in shards]
    whole = TrainingOrder(samples, batch_size * world_size, seed).batch(number)
    assert list(itertools.chain(*parts)) == whole


def test_epochs_and_seeds_differ():
    orders = [epoch_permutation(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(orders, 2))


def test_the_order_is_the_same_on_every_machine():
    assert epoch_permutation(8, 0, 0).tolist() == [5, 0, 6, 1, 7, 2, 4, 3]


@given(sizes, st.integers(1, 7), st.integers(1, 5))
def test_evaluation_deals_every_sample_once_in_equally_many_batches(samples, batch_size, world_size):
    dealt = [evaluation_batches(samples, batch_size, Shard(rank, world_size)) for rank in range(world_size)]
    flat = [index for batches in dealt for batch in batches for index in batch]
    assert sorted(flat) == list(range(samples))
    assert len({len(batches) for batches in dealt}) == 1
