"""Which GPUs a CUDA program sees, and by which number: ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER``."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.gpu.reading import Gpu

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class VisibleGpus:
    """The GPUs of a CUDA program, in its order: the first is ``cuda:0``."""

    gpus: tuple[Gpu, ...]
    certain: bool = True
    """``False`` where CUDA sorts different models by a rule of its own, or a lost GPU shifts the numbers."""
    variable: str | None = None
    """``CUDA_VISIBLE_DEVICES``, if it is set."""
    ignored: str = ""
    """The part of it that CUDA ignores: everything from the first entry on that names no GPU."""

    def problem(self, number: int) -> Bilingual:
        """Why there is no ``cuda:number``; empty if there is one."""
        return EMPTY if number < len(self.gpus) else no_such_gpu(number, len(self.gpus), self.variable)


def number_like_nvidia_smi() -> None:
    """Let CUDA count GPUs as nvidia-smi does, unless the user chose an order; before CUDA starts."""
    os.environ.setdefault(ORDER, "PCI_BUS_ID")


def visible(gpus: Sequence[Gpu], environment: Mapping[str, str] = os.environ) -> VisibleGpus:
    """The GPUs that CUDA enumerates among those that the driver reports."""
    present = [gpu for gpu in gpus if not gpu.problem and not (gpu.mig and not gpu.instances)]
    by_pci = environment.get(ORDER) == "PCI_BUS_ID"
    same_models = len({gpu.name for gpu in present}) <= 1
    certain = (by_pci or same_models) and len(present) == len(gpus)
    variable = environment.get(VISIBLE)
    if variable is None:
        return VisibleGpus(_enumerated(present), certain)
    chosen, ignored, by_index = _chosen(variable, present)
    return VisibleGpus(_enumerated(chosen), certain or not by_index, variable, ignored)


def by_uuid(gpus: Sequence[Gpu], uuid: str | None) -> Gpu | None:
    """The GPU or MIG instance of a UUID, with or without its prefix, as PyTorch gives it."""
    known = [*gpus, *(instance for gpu in gpus for instance in gpu.instances)]
    bare = (uuid or "").removeprefix("GPU-").removeprefix("MIG-")
    return next((gpu for gpu in known if bare and gpu.uuid[4:] == bare), None)


def no_such_gpu(number: int, count: int, variable: str | None) -> Bilingual:
    """The message for a number of ``--gpu-ids`` that CUDA does not have."""
    numbers = ", ".join(map(str, range(count)))
    zh, en = f"可见的是 {numbers}", f"visible are {numbers}"
    if count < 2:
        zh, en = (
            ("只有 GPU 0 可见", "only GPU 0 is visible") if count else ("没有可见的 GPU", "no GPU is visible")
        )
    value = "" if variable is None else f" ({VISIBLE}={variable})"
    return Bilingual(f"GPU {number} 不存在：{zh}{value}", f"there is no GPU {number}: {en}{value}")


def _enumerated(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """CUDA gives one process either whole GPUs or a single MIG instance."""
    first = [gpu.instances[0] if gpu.instances else gpu for gpu in gpus]
    parts = [gpu for gpu in first if gpu.uuid.startswith("MIG-")]
    return tuple(parts[:1] or first)


def _chosen(variable: str, present: Sequence[Gpu]) -> tuple[list[Gpu], str, bool]:
    """GPUs that the variable names, what it ignores, and whether it uses numbers."""
    entries = [entry.strip() for entry in variable.split(",")]
    by_index = not entries[0].startswith(("GPU-", "MIG-"))
    chosen: list[Gpu] = []
    for place, entry in enumerate(entries):
        gpu = _by_number(entry, present) if by_index else _by_uuid(entry, present)
        if gpu is None:
            return chosen, ",".join(entries[place:]), by_index
        if gpu in chosen:  # CUDA takes a repetition for an error and shows nothing
            return [], variable, by_index
        chosen.append(gpu)
    return chosen, "", by_index


def _by_number(entry: str, present: Sequence[Gpu]) -> Gpu | None:
    digits = re.match(r"\+?(\d+)", entry)  # as strtoul reads: "1gpu" is 1
    number = int(digits[1]) if digits else -1
    return present[number] if 0 <= number < len(present) else None


def _by_uuid(entry: str, present: Sequence[Gpu]) -> Gpu | None:
    """By the beginning of a UUID, if it is only one's; ``MIG-GPU-<uuid>/gi/ci`` is the older form for MIG."""
    if older := re.fullmatch(r"MIG-(GPU-[^/]+)/\d+/\d+", entry):
        parent = _by_uuid(older[1], present)
        return parent if parent and parent.mig else None
    known = [*present, *(instance for gpu in present for instance in gpu.instances)]
    found = [gpu for gpu in known if entry and gpu.uuid.lower().startswith(entry.lower())]
    return found[0] if len(found) == 1 else None
