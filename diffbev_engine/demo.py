"""The whole runbook on a synthetic world: the main job of the project, on a CPU, in minutes."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.bilingual import Language
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.gpu.reading import read_gpus
from diffbev_engine.core.gpu.select import VISIBLE
from diffbev_engine.prepare.pipeline import PrepareJob, prepare
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.model import Runbook
from diffbev_engine.runbook.report import read_content, write_report
from diffbev_engine.runbook.runner import Ran, Reporter, Selection, exit_code_of, run_steps
from diffbev_engine.runbook.workspace_paths import WorkspacePaths, find_roots
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.synthesize import synthesize
from diffbev_engine.workspace.init import init_workspace

SETUP_PHASES = ("0", "1")
_IMAGE_SIZE = (225, 400)
# Step 6.3 draws validation images 0 to 50: one of these scenes is for validation and has them.
_SCENES, _SAMPLES_PER_SCENE = 3, 51
_RUNS = {"baseline": "runs/baseline", "DiffBEV": "runs/diffbev_default"}


@dataclass(frozen=True)
class DemoSummary:
    """What the demo left."""

    roots: WorkspacePaths
    reports: tuple[Path, Path]
    """The report as Markdown and HTML."""
    scores: dict[str, float | None]
    """Best mIoU on the validation scenes by model."""
    seconds: float


class DemoStopped(DiffBEVError):
    """A step failed; the reporter has said why."""

    def __init__(self, ran: Sequence[Ran], roots: WorkspacePaths) -> None:
        failed = ran[-1].step.id
        super().__init__(
            f"the demo stopped at step {failed}; see `diffbev-engine runbook doctor {roots.workspace}`. "
            "Run the demo again to continue there."
        )
        self.exit_code = exit_code_of(ran)  # type: ignore[assignment]


def set_up_demo(out: Path, say: Callable[[str], None]) -> WorkspacePaths:
    """Make a synthetic world, its labels and a demo workspace below ``out``; what is there is kept.

    Raises:
        DiffBEVError: a part failed.
    """
    workers = os.cpu_count() or 1
    root = out / "nuScenes"
    say(f"creating a small synthetic dataset in nuScenes format in {root}")
    world = SynthJob(
        root,
        "v1.0-trainval",
        scenes=_SCENES,
        samples_per_scene=_SAMPLES_PER_SCENE,
        image_size=_IMAGE_SIZE,
        workers=workers,
    )
    say(synthesize(world).to_text())
    say("preparing camera images and bird's-eye-view labels")
    summary = prepare(PrepareJob(root, workers=workers))
    say(summary.to_text())
    if summary.failed:
        raise DiffBEVError(
            "the synthetic world could not be prepared; delete its folder and run the demo again."
        )
    say(f"creating the workspace {out / 'DiffBEV'}")
    init_workspace(out / "DiffBEV", root, demo=True)
    return find_roots(out / "DiffBEV")


def _leave_out_unusable_gpus() -> None:
    """A GPU that PyTorch cannot use refuses a training run; the demo runs on the CPU as well."""
    found = read_gpus()
    if VISIBLE in os.environ or not (found.gpus or found.broken):
        return
    from diffbev_engine.findings.gpu import torch_can_use_cuda

    if not torch_can_use_cuda()[0]:
        os.environ[VISIBLE] = ""


def run_demo(
    roots: WorkspacePaths, reporter: Reporter, language: Language, phases: Sequence[str] | None = None
) -> DemoSummary:
    """Run the runbook of a demo workspace and write its report; steps that have passed are kept.

    Args:
        roots: from ``set_up_demo``.
        reporter: is told of every step.
        language: of the report.
        phases: only these.

    Raises:
        DemoStopped: a step failed.
    """
    started = time.monotonic()
    _leave_out_unusable_gpus()
    runbook = load_runbook(roots)
    selections = [Selection()] if phases is None else [Selection(phase=phase) for phase in phases]
    for selection in selections:
        _run(runbook, roots, selection, reporter)
    reports = write_report(read_content(runbook, roots, language), roots.workspace / "reports" / "runbook")
    return DemoSummary(roots, reports, _scores(roots), time.monotonic() - started)


def _run(runbook: Runbook, roots: WorkspacePaths, selection: Selection, reporter: Reporter) -> None:
    ran = run_steps(runbook, roots, selection, reporter)
    if exit_code_of(ran):
        raise DemoStopped(ran, roots)


def _scores(roots: WorkspacePaths) -> dict[str, float | None]:
    return {name: _score(roots.path(path)) for name, path in _RUNS.items()}


def _score(run: Path) -> float | None:
    try:
        return inspect_run(run).best_miou
    except DiffBEVError:  # its phase was skipped
        return None
