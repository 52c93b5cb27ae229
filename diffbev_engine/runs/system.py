"""``system.csv``: GPUs, host memory, disk and loader processes over the whole run, every ten seconds.

Written by the process that watches the run (:mod:`watch`), whether or not a screen is open.  When it grows
long, every second row of its older part is left out, so that a run of months stays a small file.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.core.files import file_stamp, write_text
from diffbev_engine.core.gpu.reading import Gpu, GpuReading
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runs.host import HostReading

SAMPLE_S = 10.0
MOST_ROWS = 6_000
_NEWEST = 1_000
"""Rows that are never thinned: the last three hours."""
_LARGEST = 16 << 20
_LONGEST_HEADER = 1 << 14
_MIB = 2**20
HOST_COLUMNS = (
    *("time", "step", "host_used_mib", "host_total_mib", "swap_used_mib", "disk_free_mib"),
    *("cpu_percent", "loader_workers", "loader_cpu_percent", "data_wait_percent"),
)
"""``time``: Unix time; ``cpu_percent``: of all cores; ``loader_cpu_percent``: of one core;
``data_wait_percent``: of the time of an iteration."""
GPU_COLUMNS = ("used_mib", "total_mib", "load", "power_w", "temperature_c", "clock_mhz")
"""Prefixed with ``gpu<index>_``, as nvidia-smi counts."""


def sample(
    now: float, step: int | None, host: HostReading, gpus: GpuReading, data_wait: float | None = None
) -> dict[str, float | None]:
    """One row; ``None`` where the system or the driver does not say.

    Args:
        now: Unix time.
        step: the iteration that the run has reached.
        host: the machine.
        gpus: what the driver says.
        data_wait: share of an iteration's time that is spent waiting for data, while it trains.
    """
    memory = host.memory
    workers, load = host.workers if host.workers else (None, None)
    row: dict[str, float | None] = {
        "time": now,
        "step": step,
        "host_used_mib": memory.total - memory.available,
        "host_total_mib": memory.total,
        "swap_used_mib": memory.swap_used,
        "disk_free_mib": host.disk[0] / _MIB if host.disk else None,
        "cpu_percent": host.cpu,
        "loader_workers": workers,
        "loader_cpu_percent": load,
        "data_wait_percent": None if data_wait is None else 100 * data_wait,
    }
    for gpu in gpus.usable:
        row |= {f"gpu{gpu.index}_{name}": value for name, value in _of_gpu(gpu).items()}
    return row


def _of_gpu(gpu: Gpu) -> dict[str, float | None]:
    values = (gpu.used_mib, gpu.total_mib, gpu.utilization, gpu.power_w, gpu.temperature_c, gpu.clock_mhz)
    return dict(zip(GPU_COLUMNS, values, strict=True))


class SystemWriter:
    """Appends rows; a disk that cannot be written loses them, and ends nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []
        self._rows = 0

    def write(self, row: Mapping[str, float | None]) -> None:
        """Append a row; new columns and too many rows rewrite the file."""
        with suppress(OSError):
            if not self._columns:
                self._columns, rows = _read(self._path)
                self._rows = len(rows)
            missing = [name for name in row if name not in self._columns]
            if missing or self._rows >= MOST_ROWS:
                self._rewrite(missing)
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerow([_text(row.get(name)) for name in self._columns])
            self._rows += 1

    def _rewrite(self, missing: Sequence[str]) -> None:
        columns, rows = _read(self._path)
        self._columns = [*columns, *(name for name in missing if name not in columns)]
        rows = thinned(rows) if len(rows) >= MOST_ROWS else rows
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(self._columns)
        writer.writerows([*row, *[""] * (len(self._columns) - len(row))] for row in rows)
        write_text(self._path, text.getvalue())
        self._rows = len(rows)


def thinned(rows: list[list[str]]) -> list[list[str]]:
    """Every second row of the older part, and all of the newest."""
    return [*rows[:-_NEWEST:2], *rows[-_NEWEST:]]


@dataclass(frozen=True)
class SystemHistory:
    """The columns of ``system.csv``; NaN where a value is not known."""

    times: Sequence[float] = ()
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)


def system_columns(path: Path) -> tuple[str, ...]:
    """The columns of ``path``, from its first line only; none where there is no such file."""
    try:
        with open_regular(path) as file:
            head = file.readline(_LONGEST_HEADER).decode("utf-8", "replace")
    except OSError:
        return ()
    columns = tuple(head.rstrip("\r\n").split(","))
    return columns if "time" in columns else ()


def read_system(path: Path) -> SystemHistory:
    """The history in ``path``; empty where there is none. Lines that are cut off are passed over."""
    try:
        columns, rows = _read(path)
    except OSError:
        return SystemHistory()
    if "time" not in columns:
        return SystemHistory()
    numbers = [[_number(cell) for cell in row] for row in rows]
    at = columns.index("time")
    numbers = [row for row in numbers if not math.isnan(row[at])]
    found = {name: [row[place] for row in numbers] for place, name in enumerate(columns)}
    return SystemHistory(found.pop("time"), found)


class SystemTail:
    """Follows a ``system.csv``: a long one takes a tenth of a second to read, and grows every ten seconds."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self._history = SystemHistory()
        self._stamp: object = None

    def look(self) -> SystemHistory:
        """The history; the same object while the file has not changed."""
        stamp = file_stamp(self.path)
        if stamp != self._stamp:
            self._stamp, self._history = stamp, read_system(self.path)
        return self._history


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with open_regular(path) as file:
            text = file.read(_LARGEST).decode("utf-8", "replace").replace("\0", "")
    except FileNotFoundError:
        return [], []
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = next(lines, [])
        return columns, [row for row in lines if len(row) == len(columns)]
    except csv.Error:
        return [], []


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}" if value > 1e6 else f"{value:.6g}"


def _number(cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan
