"""Readers side by side: the cases of each in portions, so that all get as far when time runs out."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.reader import Reader
from tests.fuzz.watch import Outcome, fuzz

_PORTION = 50_000
_SEEDS = 1_000
"""Portions have seeds of their own, this many for each seed of the command."""


def fuzz_all(readers: Sequence[Reader], cases: int, seconds: float, seed: int, jobs: int) -> list[Outcome]:
    """Run the cases of all readers, ``jobs`` portions at a time.

    Args:
        readers: in the order of the outcomes; those that are not cheap begin.
        cases: per reader.
        seconds: after which no case begins, in all.
        seed: of the changes.
        jobs: processes.
    """
    until = time.monotonic() + seconds
    outcomes = [Outcome(one.name) for one in readers]
    places = sorted(range(len(readers)), key=lambda place: readers[place].cheap)

    def run(portion: int, place: int) -> Outcome:
        left = until - time.monotonic()
        if left <= 0:
            return Outcome(readers[place].name)
        size = min(_PORTION, cases - portion * _PORTION)
        return fuzz(readers[place], size, left, _SEEDS * seed + portion, hostile=portion == 0)

    with ThreadPoolExecutor(jobs) as pool:
        portions = range(-(-cases // _PORTION))
        running = [(place, pool.submit(run, portion, place)) for portion in portions for place in places]
        for place, future in running:
            outcomes[place].add(future.result())
    return outcomes
