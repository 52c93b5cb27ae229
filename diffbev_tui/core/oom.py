"""What is known of a run that ran out of memory: from its report, else from the message it left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.memory.curve import MEMORY_FILE, MemoryCurve, read_curve
from diffbev_engine.findings.memory.host_remedies import rank_host_remedies
from diffbev_engine.findings.memory.remedies import Circumstances, rank_remedies
from diffbev_engine.findings.oom_message import OutOfMemory, parse_oom
from diffbev_engine.runbook.case import read_tail
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import Cause, RunCondition, RunReport
from diffbev_engine.runs.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Remedy:
    """One thing to change, in both languages."""

    title: Bilingual
    saving: Bilingual
    cost: Bilingual
    overrides: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """A share of the GPU's memory; MiB."""

    name: str
    mib: float


@dataclass(frozen=True)
class MemoryCase:
    """What the memory screen shows of a run."""

    run: RunReport
    kind: str
    """``gpu``, ``host`` or ``none``."""
    report: Mapping[str, Any]
    parsed: OutOfMemory | None
    remedies: tuple[Remedy, ...]
    curve: MemoryCurve | None
    checkpoint: str | None

    def parts(self) -> tuple[list[Part], float | None]:
        """What held the memory of the GPU when the request failed, and its size."""
        if self.parsed is None or self.parsed.capacity is None:
            return [], None
        one, others = self.parsed, self.parsed.held_by_others
        held = [Part("torch", one.allocated or 0.0), Part("unused", one.reserved_unallocated or 0.0)]
        if one.own is not None:
            rest = one.own - sum(part.mib for part in held)
            held.append(Part("context", max(0.0, rest)))
        held += [Part("others", others), Part("free", one.free or 0.0)]
        return [part for part in held if part.mib > 0], one.capacity


def memory_case(run: RunReport) -> MemoryCase:
    """Look at the files of a run; what is missing or damaged is as if it were not there."""
    folder = RunFolder(Path(run.path))
    report = _read_json(folder.oom_report)
    stale = bool(report) and run.started is not None and report.get("written", 0.0) < run.started
    report = {} if stale else report
    message = report.get("message") or (_logged(folder) if run.state is RunCondition.OOM else "")
    parsed = parse_oom(str(message)) if message else None
    curve = read_curve(folder.path / MEMORY_FILE)
    kind = "gpu" if report or parsed else "none"
    if run.cause is Cause.HOST_MEMORY or (run.state is RunCondition.DEAD and run.signal == "SIGKILL"):
        kind = "host"
    if kind != "none" and not report:
        report = _reconstructed(run, parsed, curve, kind)
    return MemoryCase(
        run,
        kind,
        report,
        parsed,
        tuple(_remedy(one) for one in report.get("remedies", ()) if isinstance(one, dict)),
        curve,
        folder.latest.name if folder.latest.exists() else None,
    )


def _reconstructed(
    run: RunReport, parsed: OutOfMemory | None, curve: MemoryCurve | None, kind: str
) -> dict[str, Any]:
    """What the run would have reported, from its settings and what it wrote into its log."""
    manifest = read_manifest(RunFolder(Path(run.path))) or Manifest()
    config = manifest.config
    if kind == "host":
        remedies = rank_host_remedies(config)
    else:
        line = curve.line if curve and curve.kind == "gpu" else None
        remedies = rank_remedies(Circumstances(config, parsed, line=line))
    return {
        "batch": {"samples_per_gpu": manifest.setting("data.samples_per_gpu")},
        "precision": config.get("precision"),
        "compile": config.get("compile"),
        "others": [{"pid": pid, "mib": mib} for pid, mib in (parsed.others if parsed else ())],
        "remedies": [remedy.to_json() for remedy in remedies],
        **({"step": run.status.step} if run.status else {}),
    }


def _remedy(data: Mapping[str, Any]) -> Remedy:
    def words(name: str) -> Bilingual:
        text = data.get(name) or {}
        return Bilingual(str(text.get("zh", "")), str(text.get("en", "")))

    return Remedy(
        words("title"),
        words("saving"),
        words("cost"),
        tuple(map(str, data.get("overrides", ()))),
        {str(key): str(value) for key, value in (data.get("environment") or {}).items()},
    )


def _logged(folder: RunFolder) -> str:
    logs = sorted(folder.path.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return read_tail(logs[-1]) if logs else ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
