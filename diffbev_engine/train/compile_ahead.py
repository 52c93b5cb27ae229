"""Compiling in several processes at once, before the first step, which would compile part after part.

Each process compiles some parts of the network into torch's cache on disk; training loads each part as soon
as it is there.  This happens once for each kind of GPU and set of sizes; later starts find the cache.
"""

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from diffbev_engine import models
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.cores import usable_cores
from diffbev_engine.core.errors import first_line
from diffbev_engine.core.files import write_text
from diffbev_engine.core.host_memory import host_memory
from diffbev_engine.train.compiled_calls import distinct_calls, make
from diffbev_engine.train.compiling import why_plain
from diffbev_engine.train.distributed import Processes, device_name
from diffbev_engine.train.objective import Objective
from diffbev_engine.train.recorder import logger

_COMMAND = [sys.executable, "-m", "diffbev_engine.train.compile_worker"]
_MOST = 8
"""Processes: with more, the part that takes longest decides."""
_CORES, _GPU_MIB, _HOST_MIB = 2, 2048, 4096
"""What a process takes: its own core and those that its kernels are compiled on, memory of a part."""
_LONGEST_S, _LOOK_S = 600.0, 0.1


@dataclass(frozen=True)
class Request:
    """What a process is asked for, as JSON on its stdin."""

    settings: dict[str, Any]
    device: str
    folder: str
    """Each process creates a file here for every part that it claims, and one when the part is compiled."""


def made(folder: Path, number: int) -> Path:
    """The file that marks part ``number`` of ``distinct_calls`` as compiled."""
    return folder / f"{number}.made"


def start_compiling(settings: Settings, processes: Processes) -> "CompilingAhead":
    """Begin to compile what training with ``settings`` will call.

    Nothing is done where ``compile=auto`` compiles nothing, where it was done before, or where cores or
    memory are too few for several processes: then the first step compiles.
    """
    if settings.compile != "auto" or why_plain(settings, processes):
        return CompilingAhead()
    done = _mark(settings, processes)
    number, cores = (0, 0) if done.exists() else _affordable(processes)
    if number < 2:
        # The mark says that it was tried, not that all of it is still in the cache.
        logger.info(
            "compile=auto: the first step compiles, for two to three minutes if that was not done before"
        )
        return CompilingAhead()
    logger.info(f"compile=auto: {number} processes compile the network, once for this GPU and these sizes")
    folder = Path(tempfile.mkdtemp(prefix="diffbev_compile_"))
    request = Request(settings.model_dump(mode="json"), str(processes.device), str(folder))
    workers = [_Worker(request, folder / f"errors_{index}", cores) for index in range(number)]
    return CompilingAhead(workers, folder, done)


class CompilingAhead:
    """Processes that compile; none by default.

    Args:
        workers: The processes.
        folder: Shared by them; removed when they end.
        done: File to write when they are done.
    """

    def __init__(
        self, workers: "Sequence[_Worker]" = (), folder: Path | None = None, done: Path | None = None
    ) -> None:
        self._workers = workers
        self._folder = folder
        self._done = done
        self._left: dict[int, Callable[[], None]] = {}
        """Loads the parts that are not loaded yet, by part number."""

    def follow(self, objective: Objective) -> None:
        """Prepare to load each part of ``objective`` in ``wait``, as soon as it is compiled.

        Args:
            objective: of the training, whose parts are not compiled yet.
        """
        if not self._workers:
            return
        try:
            parts = [partial(make, call, objective) for call in distinct_calls(objective)]
        except Exception as error:
            self._load_no_more(error)
        else:
            self._left = dict(enumerate(parts))

    def wait(self, leave: Callable[[], bool] = lambda: False) -> None:
        """Wait until all is compiled; what could not be, training compiles itself.

        Args:
            leave: asked again and again; they are ended at once when it says so.
        """
        if not self._workers:
            return
        started = time.monotonic()
        while self._running() and time.monotonic() < started + _LONGEST_S and not leave():
            if not self._load_one():
                time.sleep(_LOOK_S)
        while not leave() and self._load_one():
            pass
        if not leave():
            self._report(time.monotonic() - started)
        self.end()

    def end(self) -> None:
        """End those that still run."""
        for worker in self._workers:
            worker.end()
        self._workers = ()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _load_one(self) -> bool:
        """Load one part that is compiled and not loaded yet; false if there is none."""
        assert self._folder is not None, "processes share a folder"
        number = next((each for each in self._left if made(self._folder, each).exists()), None)
        if number is None:
            return False
        try:
            self._left.pop(number)()
        except Exception as error:
            self._load_no_more(error)
        return True

    def _load_no_more(self, error: Exception) -> None:
        """After an error, which the first step handles if it meets it too."""
        self._left.clear()
        logger.info(f"compile=auto: the first step loads the compiled parts ({first_line(error)})")

    def _running(self) -> bool:
        return any(worker.running for worker in self._workers)

    def _report(self, seconds: float) -> None:
        logger.info(f"compile=auto: waited {seconds:.0f} s for the processes that compile")
        if problems := [problem for worker in self._workers if (problem := worker.problem())]:
            what = f"{len(problems)} of them failed: {problems[0]}"
            logger.info(f"compile=auto: the first step compiles the rest ({what})")
        if self._done:
            with suppress(OSError):
                write_text(self._done, "")  # trying again would fail alike


def how_many(cores: int, gpu_mib: float, host_mib: float) -> int:
    """How many processes to start for what is free; training, which loads parts, needs a share of the GPU."""
    return min(_MOST, cores // _CORES, int(gpu_mib // _GPU_MIB) - 1, int(host_mib // _HOST_MIB))


def _affordable(processes: Processes) -> tuple[int, int]:
    """How many processes, and the cores for each."""
    alike = int(os.environ.get("LOCAL_WORLD_SIZE", processes.shard.world_size))  # each with a GPU of its own
    free, _ = torch.cuda.mem_get_info(processes.device)
    cores = usable_cores() // alike
    number = how_many(cores, free / 2**20, host_memory().available / alike)
    return number, cores // max(1, number)


class _Worker:
    """A process that compiles."""

    def __init__(self, request: Request, errors: Path, cores: int) -> None:
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None
        # By default OpenMP starts a thread per core in each process, and these compete for the cores.
        environment = {"TORCHINDUCTOR_COMPILE_THREADS": str(cores), **os.environ, "OMP_NUM_THREADS": "1"}
        # One that cannot be started, or ends before it is asked, says so when it is waited for.
        with suppress(OSError), errors.open("w") as file:
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=file,
                text=True,
                start_new_session=True,  # Ctrl+C is for the training, which ends them
                env=environment,
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asdict(request)) + "\n")
            self._process.stdin.flush()

    @property
    def running(self) -> bool:
        """Whether it still compiles."""
        return self._process is not None and self._process.poll() is None

    def problem(self) -> str:
        """Why it failed; empty if it did not."""
        if self._process is None:
            return "it could not be started"
        code = self._process.poll()
        if code is None:
            return f"not done after {_LONGEST_S / 60:.0f} minutes"
        lines = self._errors.read_text(errors="replace").strip().splitlines() if code else []
        return lines[-1] if lines else f"exit code {code}" if code else ""

    def end(self) -> None:
        """End it if it still runs."""
        if self._process is None:
            return
        if self.running:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()


def _mark(settings: Settings, processes: Processes) -> Path:
    """The file that says that what ``settings`` need on this GPU was compiled into the cache next to it."""
    from torch._inductor.codecache import cache_dir

    data = settings.data
    about = {
        "network": settings.model.model_dump(mode="json"),
        "inputs": (data.image_size, data.samples_per_gpu, data.photometric, data.load_depth),
        "precision": settings.precision,
        "recompute": settings.recompute,
        "device": (processes.device.index, device_name(processes.device)),
        "versions": (platform.python_version(), torch.__version__, version("timm")),
    }
    digest = hashlib.sha256(json.dumps(about).encode())
    for source in sorted(Path(models.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return Path(cache_dir()) / f"diffbev_{digest.hexdigest()[:16]}"
