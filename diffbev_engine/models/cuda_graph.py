"""One call, captured as a CUDA graph: its kernels are launched together, on the same memory every time."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

Result = TypeVar("Result")


class CapturedCall(Generic[Result]):
    """The kernels that ``work`` launches.

    ``work`` must have run plainly before, so that everything is compiled, tuned and allocated that is so
    once.  It reads its input where it is now, and leaves its result in the same place each time.  While it
    is captured nothing is computed.

    Args:
        work: What to capture; it must not wait for the device.
        pool: Of :func:`new_pool`; calls that share one are replayed in turns, and do not need each
            other's temporary memory to last.

    Raises:
        RuntimeError: it cannot be captured; the device can be used as before.
    """

    def __init__(self, work: Callable[[], Result], pool: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream()
        try:
            # Other threads go on meanwhile: one of the loader pins memory.
            with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
                self._result = work()
        finally:
            torch.cuda.set_stream(before)  # which a capture that fails does not leave

    def replay(self) -> Result:
        """Compute the result again, in the place of the last one."""
        self._graph.replay()
        return self._result


def new_pool() -> Any:
    """Memory for calls that are replayed in turns."""
    return torch.cuda.graph_pool_handle()
