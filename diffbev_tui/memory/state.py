"""What is known of a run that ran out of memory: from its report, else from the message it left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.core.state_file import decode_file
from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.findings.failure import read_tail
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.findings.memory.curve import MEMORY_FILE, MemoryCurve, read_curve
from diffbev_engine.findings.memory.oom_report import remedies_of
from diffbev_engine.findings.memory.remedies import Circumstances, rank_host_remedies, rank_remedies
from diffbev_engine.findings.oom_message import OutOfMemory, parse_oom
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.manifest import Manifest, read_manifest
from diffbev_engine.runs.verdict import Cause, RunCondition


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
    """``gpu``, ``host``, ``killed`` (nothing shows that memory ran out) or ``none``."""
    report: Mapping[str, Any]
    parsed: OutOfMemory | None
    remedies: tuple[Remedy, ...]
    curve: MemoryCurve | None
    checkpoint: str | None
    measure: tuple[str, ...] = ()
    """The command that measures the memory of its configuration; empty where that is not known."""

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
    """Check the files of a run; what is missing or damaged is as if it were not there."""
    folder = RunFolder(Path(run.path))
    report = decode_file(folder.oom_report, dict[str, Any]).value or {}
    stale = bool(report) and run.started is not None and report.get("written", 0.0) < run.started
    report = {} if stale else report
    message = report.get("message") or (_logged(folder) if run.state is RunCondition.OOM else "")
    parsed = parse_oom(str(message)) if message else None
    curve = read_curve(folder.path / MEMORY_FILE)
    kind = "gpu" if report or parsed else "none"
    if run.state is RunCondition.DEAD:
        kind = "host" if run.cause is Cause.HOST_MEMORY else "killed"
    remedies: Sequence[Remedy] = remedies_of(report)
    if kind in ("gpu", "host") and not report:
        report, remedies = _reconstructed(run, parsed, curve, kind)
    return MemoryCase(
        run,
        kind,
        report,
        parsed,
        tuple(remedies),
        curve,
        folder.latest.name if folder.latest.exists() else None,
        _measure(run),
    )


def _measure(run: RunReport) -> tuple[str, ...]:
    manifest = read_manifest(RunFolder(Path(run.path)))
    arguments = manifest.arguments if manifest else None
    config = arguments.config if arguments else run.config
    if not config:
        return ()
    overrides = [word for one in (arguments.overrides if arguments else ()) for word in ("--set", one)]
    return (PROGRAM, "memory", config, "--work-dir", run.path, *overrides)


def _reconstructed(
    run: RunReport, parsed: OutOfMemory | None, curve: MemoryCurve | None, kind: str
) -> tuple[dict[str, Any], Sequence[Remedy]]:
    """What the run would have reported, from its settings and what it wrote into its log."""
    manifest = read_manifest(RunFolder(Path(run.path))) or Manifest()
    config = manifest.config
    if kind == "host":
        remedies = rank_host_remedies(config)
    else:
        line = curve.line if curve and curve.kind == "gpu" else None
        remedies = rank_remedies(Circumstances(config, parsed, line=line))
    facts = {
        "batch": {"samples_per_gpu": manifest.setting("data.samples_per_gpu")},
        "precision": config.get("precision"),
        "compile": config.get("compile"),
        "others": [{"pid": pid, "mib": mib} for pid, mib in (parsed.others if parsed else ())],
        **({"step": run.status.step} if run.status else {}),
    }
    return facts, remedies


def _logged(folder: RunFolder) -> str:
    logs = sorted(folder.path.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return read_tail(logs[-1]) if logs else ""
