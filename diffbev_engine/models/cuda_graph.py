"""One call, captured as a CUDA graph: its kernels are launched together, on the same memory every time."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

# In some older versions a pool for plain calls refuses expandable segments, or aborts the process if it is
# freed before the graphs in it.
_PLAIN_CALLS_TOO = torch.__version__ >= "2.11"


class GraphMemory:
    """GPU memory for calls that run in turns, never at the same time: training steps and evaluation, say.

    Each call uses the space in which the others had temporary values.  So a result that is not referred to
    any more, or that a later replay makes again, is overwritten: copy what shall last.

    Args:
        device: The GPU of all that the calls use, whichever is the current one of the thread.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.MemPool() if _PLAIN_CALLS_TOO else None
            self._id = self._pool.id if self._pool else torch.cuda.graph_pool_handle()
            # Freed memory is used again by the stream that it was allocated on, and by no other.
            self._stream = torch.cuda.Stream()

    def run(self, work: Callable[[], Result]) -> Result:
        """Compute ``work`` plainly, with torch 2.11 or newer in this memory."""
        if self._pool is None:
            return work()
        before = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream), torch.cuda.use_mem_pool(self._pool, self._device):
            result = work()
        before.wait_stream(self._stream)
        return result

    def capture(self, work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
        """The kernels that ``work`` launches, and its result, which a replay computes."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            before = torch.cuda.current_stream()
            try:
                # Other threads go on meanwhile: one of the loader pins memory.
                with torch.cuda.graph(
                    graph,
                    pool=self._id,  # type: ignore[arg-type] # older versions do not take the pool itself
                    stream=self._stream,
                    capture_error_mode="thread_local",
                ):
                    result = work()
            finally:
                torch.cuda.set_stream(before)  # which a capture that fails does not leave
        return graph, result


class CapturedCall(Generic[Result]):
    """The kernels that ``work`` launches.

    ``work`` must have run plainly before, so that everything is compiled, tuned and allocated that is so
    once.  It reads its input where it is now, and leaves its result in the same place each time.  While it
    is captured nothing is computed.

    Args:
        work: What to capture; it must not wait for the device.
        memory: Where it computes.

    Raises:
        RuntimeError: it cannot be captured; the device can be used as before.
    """

    def __init__(self, work: Callable[[], Result], memory: GraphMemory) -> None:
        self._graph, self._result = memory.capture(work)
        self._memory = memory  # which outlives the graph

    def replay(self) -> Result:
        """Compute the result again, in the place of the last one."""
        self._graph.replay()
        return self._result
