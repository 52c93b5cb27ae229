"""How long a training will take: its iterations at the speed that a run here was measured at.

Imports nothing heavy until it reads the settings of a configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.runbook.files import settings_of
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import DONE, RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport


@dataclass(frozen=True)
class Prediction:
    """What is known of a training before it starts."""

    iterations: int
    measured: RunReport | None
    """The run whose speed counts; ``None`` while none has been measured."""

    @property
    def it_per_s(self) -> float | None:
        """The speed of that run."""
        return self.measured.status.it_per_s if self.measured and self.measured.status else None

    def seconds(self, done: int = 0) -> float | None:
        """The time of the iterations that are left after ``done``; ``None`` without a measured speed."""
        return max(self.iterations - done, 0) / self.it_per_s if self.it_per_s else None


def config_of(step: Step, roots: WorkspacePaths) -> tuple[Path, Mapping[str, Any]] | None:
    """The configuration that a step trains, with its settings; ``None`` if that is not one valid file."""
    configs = [roots.path(name) for name in step.inputs if name.endswith(".py")]
    settings = settings_of(configs[0]) if len(configs) == 1 else None
    return None if settings is None else (configs[0], settings)


def predict(step: Step, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Prediction | None:
    """By the run that the step wrote before, else by the newest run with a speed.

    Args:
        step: one that trains.
        roots: the workspace.
        runs: its runs, the newest first.
    """
    config = config_of(step, roots)
    try:
        iterations = config[1]["runner"]["max_iters"] if config else None
    except KeyError:  # part of a configuration
        return None
    if not isinstance(iterations, int):
        return None
    own = run_of(step, roots, runs)
    fast = [run for run in ([own] if own else []) + list(runs) if run.status and run.status.it_per_s]
    return Prediction(iterations, fast[0] if fast else None)


def predicted_seconds(
    view: RunbookView, roots: WorkspacePaths, runs: Sequence[RunReport]
) -> dict[str, float]:
    """Training runs that are not finished, by step: how long each would take if started now."""
    found: dict[str, float] = {}
    if not any(run.status and run.status.it_per_s for run in runs):
        return found  # and reads no configuration
    for one in view.steps:
        prediction = predict(one.step, roots, runs) if one.step.run_dir and one.state not in DONE else None
        seconds = prediction.seconds(_kept_iterations(one, roots)) if prediction else None
        if seconds is not None:
            found[one.step.id] = seconds
    return found


def _kept_iterations(one: StepView, roots: WorkspacePaths) -> int:
    """From where a start would continue, by the rule of the runner."""
    if one.state is not StepState.FAILED or not one.step.resume:
        return 0
    saved = RunFolder(roots.workspace / one.step.run_dir).checkpoints()
    return saved[-1][0] if saved else 0
