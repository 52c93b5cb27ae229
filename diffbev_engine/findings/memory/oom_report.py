"""``oom_report.json``: details of a GPU out-of-memory failure."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.files import write_text
from diffbev_engine.core.gpu.reading import Gpu
from diffbev_engine.core.plain_text import plain
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.findings.memory.curve import MEMORY_FILE, read_curve
from diffbev_engine.findings.memory.remedies import (
    ALLOCATOR_VARIABLES,
    Circumstances,
    other_processes,
    rank_remedies,
)
from diffbev_engine.findings.oom_message import parse_oom
from diffbev_engine.runs.folder import RunFolder


@dataclass(frozen=True)
class MemoryFailure:
    """What the process that failed knows."""

    message: str
    """Of the error, whole."""
    phase: str
    """``setup``, ``transfer``, ``forward``, ``backward``, ``optimizer``, ``evaluation``, ``checkpoint``
    or ``unknown``."""
    step: int
    """Optimizer steps done."""
    started_at: int
    """Step at which this start of the run began."""
    config: Mapping[str, Any]
    device: str
    pid: int
    rank: int = 0
    allocator: Mapping[str, float] | None = None
    """MiB and counts, from torch; ``None`` without a GPU."""
    gpu: Gpu | None = None
    """As the driver reports it."""
    gpu_problem: str = ""
    """Why there is no ``gpu``."""
    environment: Mapping[str, str] = field(default_factory=dict)


def write_oom_report(folder: RunFolder, failure: MemoryFailure) -> dict[str, Any]:
    """Write the report into the run directory, and give its content.

    Raises:
        OSError: of the system.
    """
    report = oom_report(folder, failure)
    write_text(folder.oom_report, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def remedy_json(remedy: Remedy) -> dict[str, Any]:
    """A remedy as the report holds it; ``arguments`` is what to add to the command line."""
    return {
        "id": remedy.id,
        "title": remedy.text.to_json(),
        "overrides": list(remedy.overrides),
        "arguments": " ".join(f"--set {override}" for override in remedy.overrides),
        "environment": dict(remedy.environment),
        "saving_mib": None if remedy.saving_mib is None else round(remedy.saving_mib, 1),
        "saving": remedy.saving.to_json(),
        "saving_known": remedy.saving_known.to_json(),
        "cost": remedy.changes.to_json(),
        "changes_results": remedy.changes_results,
    }


def remedies_of(report: Mapping[str, Any]) -> tuple[Remedy, ...]:
    """The remedies of a report that was read; what is not one is skipped."""
    listed = report.get("remedies")
    entries = listed if isinstance(listed, list) else []
    return tuple(_remedy(each) for each in entries if isinstance(each, dict))


def _remedy(data: Mapping[str, Any]) -> Remedy:
    def words(name: str) -> Bilingual:
        text = data.get(name)
        text = text if isinstance(text, dict) else {}
        return Bilingual(plain(str(text.get("zh", ""))), plain(str(text.get("en", ""))))

    overrides, variables = data.get("overrides"), data.get("environment")
    given = variables if isinstance(variables, dict) else {}
    # The file may be somebody else's: of its variables only those that a remedy of this program sets.
    environment = {name: plain(str(given[name])) for name in ALLOCATOR_VARIABLES if name in given}
    return Remedy(
        id=plain(str(data.get("id", ""))),
        text=words("title"),
        saving=words("saving"),
        changes=words("cost"),
        overrides=tuple(plain(str(one)) for one in overrides) if isinstance(overrides, list) else (),
        environment=environment,
    )


def oom_report(folder: RunFolder, failure: MemoryFailure) -> dict[str, Any]:
    """The report as plain values; memory by batch size from ``memory.json``, if it is there."""
    oom = parse_oom(failure.message)
    curve = read_curve(folder.path / MEMORY_FILE)
    processes = failure.gpu.processes if failure.gpu else None
    unlisted = failure.gpu_problem or ("the driver does not list processes" if processes is None else None)
    known = Circumstances(
        config=failure.config,
        oom=oom,
        phase=failure.phase,
        own_pid=failure.pid,
        processes=processes or (),
        reserved=(failure.allocator or {}).get("reserved_mib"),
        unified=failure.gpu is not None and failure.gpu.unified,
        mig=failure.gpu is not None and failure.gpu.uuid.startswith("MIG-"),
        line=curve.line if curve and curve.kind == "gpu" else None,
        environment=failure.environment,
    )
    data, optimizer = failure.config.get("data", {}), failure.config.get("optimizer_config", {})
    return {
        "format": 1,
        "written": time.time(),
        "message": failure.message,
        "parsed": oom.to_json() if oom else None,
        "explanation": [line.to_json() for line in oom.say()] if oom else [],
        "phase": failure.phase,
        "step": failure.step,
        "steps_that_worked": failure.step - failure.started_at,
        "rank": failure.rank,
        "device": failure.device,
        "batch": {
            "samples_per_gpu": data.get("samples_per_gpu"),
            "cumulative_iters": optimizer.get("cumulative_iters"),
            "evaluation_samples_per_gpu": failure.config.get("evaluation", {}).get("samples_per_gpu"),
            "image_size": data.get("image_size"),
        },
        "precision": failure.config.get("precision"),
        "compile": failure.config.get("compile"),
        "allocator": failure.allocator,
        "environment": dict(failure.environment),
        "processes": [process.to_json() for process in processes or ()],
        "processes_problem": unlisted,
        "others": [{"pid": pid, "mib": mib, "name": name} for pid, mib, name in other_processes(known)],
        "checkpoint": folder.latest.name if folder.latest.exists() else None,
        "memory_by_batch": curve.to_json() if curve else None,
        "remedies": [
            {"rank": rank, **remedy_json(remedy)} for rank, remedy in enumerate(rank_remedies(known), start=1)
        ],
    }
