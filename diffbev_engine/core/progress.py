"""Progress of long commands: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how many of ``total`` items are done, on standard error."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=what, dynamic_ncols=True, file=sys.stderr) as bar:
            yield lambda done: bar.update(done - bar.n)
        return
    last_line = time.monotonic()

    def show(done: int) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line >= _SECONDS_BETWEEN_LINES:
            print(f"{what}: {done}/{total}", file=sys.stderr, flush=True)
            last_line = now

    yield show


def track(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield ``items`` and show how far it is."""
    with progress(total, what) as show:
        for done, item in enumerate(items, start=1):
            yield item
            show(done)
