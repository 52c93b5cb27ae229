"""Wait for batches without being deaf: they are drawn in a thread, and the caller looks around meanwhile."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

T = TypeVar("T")

LOOK_S = 0.25
"""How often a waiting caller looks around."""
_CLOSING_S = 10.0


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def drawn_in_a_thread(
    batches: Generator[T, None, None],
    while_waiting: Callable[[float], None],
    end_workers: Callable[[], None],
) -> Generator[T, None, None]:
    """The same batches, one at a time, none ahead of its time.

    A read that hangs, as on a network mount that is gone, blocks the thread alone.

    Args:
        batches: owned from here on, and closed with the result.
        while_waiting: called four times a second while a batch is not there yet, with the seconds so far;
            what it raises ends the generator and reaches the caller.
        end_workers: kills the loader processes; called when a batch is outstanding at the end.
    """
    asked: SimpleQueue[bool] = SimpleQueue()
    answers: SimpleQueue[T | _Raised] = SimpleQueue()
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
    thread = threading.Thread(
        target=_draw, args=(batches, asked, answers, device), name="batches", daemon=True
    )
    thread.start()
    outstanding = False
    try:
        while True:
            asked.put(True)
            outstanding = True
            answer = _wait_for(answers, while_waiting)
            outstanding = False
            if isinstance(answer, _Raised):
                if isinstance(answer.error, StopIteration):
                    return
                raise answer.error
            yield answer
    finally:
        asked.put(False)
        if outstanding:
            end_workers()
        thread.join(_CLOSING_S)


def _wait_for(answers: "SimpleQueue[T | _Raised]", while_waiting: Callable[[float], None]) -> T | _Raised:
    began = time.monotonic()
    while True:
        try:
            return answers.get(timeout=LOOK_S)
        except Empty:
            while_waiting(time.monotonic() - began)


def _draw(
    batches: Generator[T, None, None],
    asked: "SimpleQueue[bool]",
    answers: "SimpleQueue[T | _Raised]",
    device: int | None,
) -> None:
    if device is not None:
        torch.cuda.set_device(device)  # memory is pinned for the GPU of this process, not for the first
    while asked.get():
        try:
            answers.put(next(batches))
        except BaseException as error:  # whoever asked shall see it
            answers.put(_Raised(error))
    batches.close()
