"""One of the processes that compile the parts of a training step before training needs them.

``compile_ahead`` starts them; what they compile goes to torch's cache on the disk, where training finds it.
Each reads its request from stdin (one line of JSON), and ends when stdin does: with the process that
started it.
"""

import fcntl
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import first_line
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.train.compile_ahead import Request, made
from diffbev_engine.train.compiled_calls import distinct_calls, make
from diffbev_engine.train.compiling import compile_parts
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.step import TrainingStep
from diffbev_engine.train.train import build_step


def main() -> None:
    """Compile what stdin asks for, together with other such processes."""
    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_starter, daemon=True).start()
    device = torch.device(request.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    folder = Path(request.folder)
    _measure_one_at_a_time(folder / "measuring")
    step = step_to_compile(Settings.model_validate(request.settings), device)
    calls = distinct_calls(step.objective)
    compile_parts(step)
    failed = 0
    for number, call in enumerate(calls):
        if not _claim(folder / str(number)):
            continue
        try:
            make(call, step.objective)
        except Exception as error:  # training compiles it itself, and tells what is wrong
            failed += 1
            print(f"{call.name}: {first_line(error)}", file=sys.stderr)
        else:
            made(folder, number).touch()
    os._exit(1 if failed else 0)  # threads of the compiler would be waited for


def step_to_compile(settings: Settings, device: torch.device) -> TrainingStep:
    """A step of these sizes, as training makes it."""
    plain = settings.model_copy(update={"compile": "off", "load_from": None})
    return build_step(plain, Processes(device, ALONE), resuming=True)


def _claim(path: Path) -> bool:
    """Whether no other process has taken this on."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _measure_one_at_a_time(path: Path) -> None:
    """Kernels are chosen by measuring them, which another process that measures would disturb."""
    from torch._inductor.runtime import benchmarking

    benchmarker = getattr(benchmarking, "benchmarker", None)
    if benchmarker is None or not hasattr(benchmarker, "benchmark_gpu"):
        return
    measure, lock = benchmarker.benchmark_gpu, path.open("w")

    def alone(*arguments: Any, **named: Any) -> Any:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return measure(*arguments, **named)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    benchmarker.benchmark_gpu = alone


def _end_with_starter() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
