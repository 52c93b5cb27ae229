"""Progress of long commands: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield ``items`` and report progress on standard error."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit="", dynamic_ncols=True, file=sys.stderr)
        return
    last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last_line >= _SECONDS_BETWEEN_LINES:
            print(f"{what}: {done}/{total}", file=sys.stderr, flush=True)
            last_line = now
