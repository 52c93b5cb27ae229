"""Gives one reader its cases, in a process that another watches: a hang is met from outside."""

import contextlib
import json
import mmap
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz.bombs import PLACES, contents
from tests.fuzz.mutate import Mutator
from tests.fuzz.reader import Reader

HANG_CPU_S = 1.0
"""Processor time that one case may take, and half as much for each MiB of it."""
HANG_WALL_S = 30.0
"""For a reader that waits and takes no processor time; far more than a busy machine needs."""
GROWTH = 256 << 20
"""Bytes by which one case may raise the most memory ever held: the file, its text and its values."""
LEAK = 64 << 20
"""Bytes by which memory may be larger after all cases than after the first ones."""
_ADDRESS_SPACE = 3 << 30
_WARM = 2_000
_MOST_WORKERS = 20
ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """What became of the cases of one reader."""

    reader: str
    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    growth: int = 0
    """Bytes held at the end, less those held after the first cases."""
    peak: int = 0
    """Most memory ever held, less that before the first case."""
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By place in the source: kind (``exception``, ``hang``, ``growth``), words, the case as hex."""

    def add(self, other: "Outcome") -> None:
        """Add what became of other cases of the same reader."""
        self.cases += other.cases
        self.refused += other.refused
        self.seconds += other.seconds
        self.growth = max(self.growth, other.growth)
        self.peak = max(self.peak, other.peak)
        self.failures |= other.failures

    def count(self, kind: str) -> int:
        """How many different failures of a kind there are."""
        return sum(one["kind"] == kind for one in self.failures.values())

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.failures and self.growth <= LEAK


def fuzz(reader: Reader, cases: int, seconds: float, seed: int, *, hostile: bool = True) -> Outcome:
    """Run the cases of a reader in a process of its own; started again after a hang, with other cases.

    Args:
        reader: whose cases.
        cases: how many.
        seconds: after which no case begins.
        seed: of the changes.
        hostile: whether to begin with the files that are made to be hostile, the same for every seed.
    """
    outcome, left, until = Outcome(reader.name), cases, time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        for _ in range(_MOST_WORKERS):
            if left <= 0 or time.monotonic() > until:
                break
            found, hung = _one_worker(
                reader, Path(folder), left, until - time.monotonic(), seed, cases - left if hostile else -1
            )
            outcome.add(found)
            left -= found.cases + hung
            seed += 1
            if not hung:
                break
    return outcome


def _one_worker(
    reader: Reader, folder: Path, cases: int, seconds: float, seed: int, done: int
) -> tuple[Outcome, bool]:
    progress, result, scratch = folder / "progress", folder / "result", folder / "scratch"
    progress.write_bytes(bytes(16))
    shutil.rmtree(scratch, ignore_errors=True)
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.worker", reader.name, str(folder), str(cases)]
    started = time.monotonic()
    with (folder / "stderr").open("wb") as said:  # decoders of images say much there
        process = subprocess.Popen([*command, str(seconds), str(seed), str(done)], cwd=ROOT, stderr=said)
        hung = _watched(process, progress)
    failed = process.returncode != 0
    if result.exists():
        outcome = Outcome(**json.loads(result.read_text()))
    else:
        outcome = Outcome(reader.name, struct.unpack("qq", progress.read_bytes())[0])
        outcome.seconds = time.monotonic() - started
    if process.returncode == 1:
        raise RuntimeError(f"{reader.name}: {(folder / 'stderr').read_text(errors='replace')[-3000:]}")
    if hung or failed:
        words = "took too long" if hung else f"the process ended with {process.returncode}"
        with contextlib.suppress(OSError):
            case = scratch / reader.file
            content = case.read_bytes()[:4096] if case.is_file() else b""
            kind = "hang" if hung else "exception"
            words += f" at case {done + outcome.cases}: {content[:40]!r}"
            outcome.failures[f"{kind} {content[:64].hex()}"] = {
                "kind": kind,
                "words": words,
                "case": content.hex(),
            }
    return outcome, hung or failed


def _watched(process: "subprocess.Popen[bytes]", progress: Path) -> bool:
    """Wait for the worker; whether it had to be killed because one case took too long."""
    seen, cpu, since = (-1, -1), 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        now = struct.unpack("qq", progress.read_bytes())
        try:
            spent = sum(psutil.Process(process.pid).cpu_times()[:2])
        except psutil.Error:
            continue
        if now != seen or now[1] == 0:
            seen, cpu, since = now, spent, time.monotonic()
        elif spent - cpu > 4 * HANG_CPU_S or time.monotonic() - since > HANG_WALL_S:
            process.kill()
            process.wait()
            return True
    return False


def work(reader: Reader, folder: Path, cases: int, seconds: float, seed: int, done: int) -> None:
    """What the watched process does: cases until their number or the time is reached.

    The first ``done`` cases are passed over; with -1 all hostile files are.
    """
    worker = _Worker(reader, folder)
    worker.run(cases, seconds, seed, done)


class _Worker:
    def __init__(self, reader: Reader, folder: Path) -> None:
        self._reader = reader
        self._outcome = Outcome(reader.name)
        self._result = folder / "result"
        scratch = folder / "scratch"
        scratch.mkdir()
        self._path = scratch / reader.file
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if reader.prepare:
            reader.prepare(scratch)
        with (folder / "progress").open("r+b") as file:
            self._progress = mmap.mmap(file.fileno(), 16)

    def run(self, cases: int, seconds: float, seed: int, done: int) -> None:
        seeds = list(self._reader.seeds())
        for number, content in enumerate(seeds):  # also imports what the reader needs
            self._write(content)
            with contextlib.suppress(*(self._reader.refusals if number else ())):  # the first one is read
                self._reader.read(self._path)
        if not self._reader.torch:
            used = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESS_SPACE, used + _ADDRESS_SPACE))
        first = self._most = _most_memory()
        outcome, begun = self._outcome, time.monotonic()
        warm = _memory()
        mutator = Mutator(seeds, self._reader.form, seed)
        changed = iter(mutator, None)
        every = changed if done < 0 else islice(chain(_hostile(), changed), done, None)
        for content in every:
            if outcome.cases >= cases or time.monotonic() - begun > seconds:
                break
            self._case(content)
            if outcome.cases == _WARM:
                warm = _memory()
            if outcome.cases % 10_000 == 0:
                outcome.seconds = time.monotonic() - begun
                self._save()
        outcome.seconds = time.monotonic() - begun
        outcome.growth = max(0, _memory() - warm)
        outcome.peak = _most_memory() - first
        self._save()

    def _case(self, content: bytes | str) -> None:
        outcome = self._outcome
        self._write(content)
        cpu = time.process_time()
        self._progress[:] = struct.pack("qq", outcome.cases, 1)
        try:
            self._reader.read(self._path)
        except self._reader.refusals as error:
            outcome.refused += 1
            if "\n" not in str(error) and not str(error):
                self._note("exception", error, content)
        except Exception as error:
            self._note("exception", error, content)
        self._progress[:] = struct.pack("qq", outcome.cases, 0)
        outcome.cases += 1
        mib = len(content) / 2**20 if isinstance(content, bytes) else 0.0
        if (spent := time.process_time() - cpu) > HANG_CPU_S * (1 + mib / 2):
            self._note("hang", TimeoutError(f"{spent:.1f} s"), content)
        most = _most_memory()
        if most - self._most > GROWTH:
            self._note("growth", MemoryError(f"{(most - self._most) >> 20} MiB"), content)
        self._most = most

    def _write(self, content: bytes | str) -> None:
        path = self._path
        if isinstance(content, str) or self._reader.file.endswith("/") or path.is_symlink():
            self._clear()
        if isinstance(content, str):
            PLACES[content](path)
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            self._clear()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, content) if len(content) < 1 << 20 else _write_all(descriptor, content)
        os.close(descriptor)

    def _clear(self) -> None:
        if self._path.is_dir() and not self._path.is_symlink():
            shutil.rmtree(self._path)
        else:
            self._path.unlink(missing_ok=True)

    def _note(self, kind: str, error: BaseException, content: bytes | str) -> None:
        place = _place(error) if kind == "exception" else ""
        size = f" {len(content) if isinstance(content, bytes) else content}" if kind != "exception" else ""
        key = f"{kind} {type(error).__name__} {place}{size}"
        if key in self._outcome.failures or len(self._outcome.failures) > 50:
            return
        case = content.encode() if isinstance(content, str) else content
        words = f"{type(error).__name__}: {ascii(str(error))[:300]} {place or case[:40]!r}"
        self._outcome.failures[key] = {"kind": kind, "words": words, "case": case[:8192].hex()}

    def _save(self) -> None:
        self._result.with_suffix(".new").write_text(json.dumps(vars(self._outcome)))
        self._result.with_suffix(".new").replace(self._result)


def _hostile() -> Iterator[bytes | str]:
    yield from PLACES
    yield from (content for _, content in contents())


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _place(error: BaseException) -> str:
    """The last lines of this program in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/diffbev_" in one.filename] or frames[-1:]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(ours[-2:]))


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _fast_folder() -> str | None:
    """Memory where there is some: a million files are written."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
