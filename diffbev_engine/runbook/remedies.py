"""What to do about a known problem in one failure: commands filled in, the impossible skipped."""

from collections.abc import Sequence
from dataclasses import replace

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.catalogue import Wording
from diffbev_engine.findings.failure import FailureContext
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.findings.memory.oom_report import remedies_of
from diffbev_engine.findings.oom_message import OutOfMemory
from diffbev_engine.runbook.model import Problem, Runbook
from diffbev_engine.runbook.present import NO_ROOTS, filled, with_names
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import read_manifest

_RESUME = ("diffbev-engine", "runs", "resume")


def names_of(runbook: Runbook, context: FailureContext, evidence: Sequence[Bilingual]) -> dict[str, str]:
    """What ``RUN_DIR`` and ``TRAINING_STEP`` in remedies stand for, where the run is known."""
    about = " ".join(text.en for text in evidence)
    for step in runbook.steps if context.workspace else ():
        folder = context.workspace / step.run_dir if context.workspace and step.run_dir else None
        if folder and (folder == context.run_dir or f"{folder}/" in about):
            return {"RUN_DIR": str(folder), "TRAINING_STEP": step.id}
    return {"RUN_DIR": str(context.run_dir)} if context.run_dir else {}


def _applies(remedy: Remedy, context: FailureContext, said: str) -> bool:
    """Whether a remedy fits the evidence, and can be done with this run on this machine."""
    if remedy.when and not any(Wording.parse(wording).find(said) >= 0 for wording in remedy.when):
        return False
    if remedy.argv[:3] == _RESUME and context.run and not context.run.resumable:
        return False
    return not any(_has_already(override, context) for override in remedy.overrides)


def _has_already(override: str, context: FailureContext) -> bool:
    """Whether the run has that setting; for a batch, one of that size or a smaller one."""
    manifest = read_manifest(RunFolder(context.run_dir)) if context.run_dir else None
    name, _, wanted = override.partition("=")
    value = manifest.setting(name) if manifest else None
    if value is None:
        return False
    is_batch = name == "data.samples_per_gpu" and isinstance(value, int) and wanted.isdecimal()
    return value <= int(wanted) if is_batch else str(value) == wanted.strip("'\"")


def _for_the_run(remedy: Remedy, context: FailureContext, names: dict[str, str]) -> Remedy:
    """With the run that it is about; settings become the command that resumes it with them."""
    argv = with_names(remedy, names).argv
    if remedy.overrides and not argv and context.run and context.run.resumable and "RUN_DIR" in names:
        argv = (*_RESUME, names["RUN_DIR"])
        argv += tuple(part for override in remedy.overrides for part in ("--set", override))
    return replace(remedy, argv=argv)


def remedies_for(
    problem: Problem,
    context: FailureContext,
    names: dict[str, str],
    evidence: Sequence[Bilingual],
    oom: OutOfMemory | None,
) -> list[Remedy]:
    """What to do, best first; commands that this failure makes impossible are skipped."""
    said = " ".join(text.en for text in evidence).lower()
    roots = NO_ROOTS
    if context.workspace and context.data_root:
        nuscenes_root = context.nuscenes_root or context.data_root
        roots = WorkspacePaths(context.workspace, nuscenes_root, separate_data_root=context.data_root)
    measured = remedies_of(context.oom_report) if oom else ()
    # The settings of this very run are better than those of the runbook's text.
    general = [replace(each, overrides=()) for each in problem.remedies] if measured else problem.remedies
    found = [
        filled(_for_the_run(remedy, context, names), roots)
        for remedy in (*measured, *general)
        if _applies(remedy, context, said)
    ]
    if oom is None or not (oom.fragmented or oom.others_matter):
        return found
    wanted = "expandable_segments" if oom.fragmented else "CUDA_VISIBLE_DEVICES"
    return sorted(found, key=lambda remedy: wanted not in remedy.text.en)
