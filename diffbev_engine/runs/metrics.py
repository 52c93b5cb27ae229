"""``metrics.csv``: a fixed header, one flushed row a logged step or evaluation."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from diffbev_engine.core.classes import CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_text

COLUMNS: tuple[str, ...] = (
    *("step", "mode", "phase", "loss", "Lwce", "Ldepth", "Ldiff", "lr", "mIoU"),
    *(f"IoU/{name}" for name in CLASSES),
    *("grad_norm", "images_per_s", "gpu_mem_mb"),
)
_HEADER = ",".join(COLUMNS)

Value = int | float | str | None


class MetricsWriter:
    """Appends rows to a ``metrics.csv``; the only writer of its run directory."""

    def __init__(self, path: Path, *, keep_until_step: int = 0) -> None:
        """Continue the file after ``keep_until_step``: later rows and a torn last row are dropped.

        Raises:
            DiffBEVError: if the file has another header, or a row without its step.
        """
        rows = _rows_until(path, keep_until_step) if path.exists() else []
        write_text(path, "".join(f"{line}\n" for line in [_HEADER, *rows]))
        self._file = path.open("a", encoding="utf-8", newline="")

    def write(self, row: Mapping[str, Value]) -> None:
        """Append one row; columns that do not apply stay blank."""
        unknown = row.keys() - set(COLUMNS)
        if unknown:
            raise ValueError(f"not columns of metrics.csv: {sorted(unknown)}")
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(_text(row.get(column)) for column in COLUMNS)
        self._file.write(line.getvalue())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows_until(path: Path, step: int) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")[:-1]  # what follows the last newline is a torn row
    if not lines:
        return []
    if lines[0] != _HEADER:
        raise DiffBEVError(
            f"{path} was not written by this version: its header differs. "
            "Move the file away or choose another work dir."
        )
    whole = [line for line in lines[1:] if line.count(",") == len(COLUMNS) - 1]
    return [line for line in whole if _step_of(line, path) <= step]


def _step_of(line: str, path: Path) -> int:
    cell = line.split(",", 1)[0]
    try:
        return int(cell)
    except ValueError:
        raise DiffBEVError(
            f"{path} is damaged: {cell[:20]!r} stands in place of a step. "
            "Restore the file from a copy, or move it away: a new one is begun."
        ) from None


def _text(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
