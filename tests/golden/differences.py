"""What differs between two trees' results: files to the byte, tensors to the bit, rows and JSON by field."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffbev_engine.prepare.encoding import read_label

TIMINGS = frozenset({"images_per_s", "network_ms", "gpu_mem_mb", "seconds"})
"""Fields that no two runs share."""
_SHOWN = 3


class Different(AssertionError):
    """The message says where and how."""


def same_files(old: Path, new: Path, pattern: str, at_least: int) -> str:
    """Both folders hold the same names under ``pattern``, byte for byte."""
    names = _same_names(old, new, pattern, at_least)
    differing = [name for name in names if (old / name).read_bytes() != (new / name).read_bytes()]
    _refuse(f"{name} has other bytes" for name in differing)
    return f"{len(names)} files, equal bytes"


def same_labels(old: Path, new: Path, pattern: str, at_least: int) -> str:
    """The label PNGs of both folders hold the same cells, however they are packed."""
    names = _same_names(old, new, pattern, at_least)
    before, after = ({name: read_label(folder / name) for name in names} for folder in (old, new))
    _refuse(_of_values(before, after, frozenset(), "labels"))
    return f"{len(names)} files, equal cells"


def same_arrays(old: Path, new: Path, pattern: str, at_least: int) -> str:
    """The ``.npz`` files of both folders hold the same arrays, bit for bit."""
    names = _same_names(old, new, pattern, at_least)
    filled = 0
    for name in names:
        with np.load(old / name) as before, np.load(new / name) as after:
            _refuse(_of_values(dict(before), dict(after), frozenset(), name))
            filled += any(before[key].any() for key in before.files)
    if filled < at_least:
        raise Different(f"only {filled} of {len(names)} files hold anything but zeros")
    return f"{len(names)} files, equal arrays"


def same_json(old: Path, new: Path, added: frozenset[str] = frozenset(), at_least: int = 1) -> str:
    """Two JSON files (or two of one JSON object per line) agree, timings and ``added`` keys aside."""
    before, after = _json_of(old), _json_of(new)
    if (count := _leaves(before)) < at_least:
        raise Different(f"only {count} values in {old}, {at_least} expected")
    _refuse(_of_values(before, after, added, ""))
    bytes_too = ", equal bytes" if old.read_bytes() == new.read_bytes() else ""
    return f"{count} equal values{bytes_too}"


def same_rows(old: Path, new: Path, steps: int, losses: tuple[str, ...]) -> str:
    """Two ``metrics.csv`` agree in every column but the timings, and have ``losses`` at every step."""
    before, after = _rows(old), _rows(new)
    trained = [row for row in before if row["mode"] == "train"]
    if [int(row["step"]) for row in trained] != list(range(1, steps + 1)):
        raise Different(f"{old} does not have the {steps} training steps")
    if empty := [row["step"] for row in trained if not all(row[name] for name in losses)]:
        raise Different(f"{old} has no {', '.join(losses)} at step {empty[0]}")
    if not any(row["mIoU"] for row in before):
        raise Different(f"{old} has no evaluation")
    _refuse(_of_values(before, after, frozenset(), ""))
    return f"{len(trained)} training rows and {len(before) - len(trained)} evaluations, equal text"


def same_checkpoint(old: Path, new: Path, added: frozenset[str] = frozenset()) -> str:
    """Two checkpoints agree to the bit: weights, optimizer, random numbers, scores, settings."""
    before, after = (torch.load(path, map_location="cpu", weights_only=True) for path in (old, new))
    tensors = list(before["model"].values())
    if not tensors or not before["optimizer"]["state"]:
        raise Different(f"{old} holds no weights, or no state of the optimizer")
    _refuse(_of_values(before, after, added, ""))
    return f"{len(tensors)} weight tensors, {len(before['optimizer']['state'])} optimizer states, equal bits"


def _same_names(old: Path, new: Path, pattern: str, at_least: int) -> list[Path]:
    before, after = (sorted(path.relative_to(top) for path in top.glob(pattern)) for top in (old, new))
    if len(before) < at_least:
        raise Different(f"only {len(before)} files {pattern} in {old}, {at_least} expected")
    _refuse(f"{name} is in one tree's result only" for name in sorted(set(before) ^ set(after)))
    return before


def _json_of(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def _leaves(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return sum(map(_leaves, value.values() if isinstance(value, dict) else value))
    return 1


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _refuse(differences: Iterator[str]) -> None:
    found = list(differences)
    if found:
        more = f" … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise Different("; ".join(found[:_SHOWN]) + more)


def _of_values(old: Any, new: Any, added: frozenset[str], where: object) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(key for key in new if key not in old)):
            place = f"{where}.{key}" if where else str(key)
            if key in TIMINGS or (key not in old and key in added):
                continue
            if key not in old or key not in new:
                yield f"{place} is in one tree's result only"
            else:
                yield from _of_values(old[key], new[key], added, place)
    elif isinstance(old, (torch.Tensor, np.ndarray)):
        if not _same_bits(old, new):
            yield f"{where} has other bits"
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        if len(old) != len(new):
            yield f"{where} has {len(new)} entries, before {len(old)}"
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _of_values(one, other, added, f"{where}[{at}]")
    elif type(old) is not type(new) or repr(old) != repr(new):
        yield f"{where}: {old!r} → {new!r}"


def _same_bits(old: torch.Tensor | np.ndarray, new: object) -> bool:
    if type(old) is not type(new) or old.dtype != new.dtype or old.shape != new.shape:
        return False
    first, second = (np.ascontiguousarray(np.asarray(value)) for value in (old, new))
    return first.tobytes() == second.tobytes()
