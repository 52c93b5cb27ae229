"""Thirty runs in a workspace, to look at: ``python -m tests.tui.runs.many_runs NEW_FOLDER``."""

import json
import sys
import time
from pathlib import Path

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.status import RunState
from diffbev_engine.workspace.init import init_workspace
from tests.tui.monitor.run_files import write_run

BEST = {17: 0.30, 4: 0.28, 23: 0.26}
"""Scores of the three best by their number; all others are between 0.100 and 0.106."""


def write_scored(folder: Path, name: str, best: float, lr: float = 2e-4, age_h: float = 1.0) -> RunFolder:
    """A run that finished with this best score."""
    started = time.time() - 3600 * age_h
    run = write_run(folder / name, step=300, max_iters=300, state=RunState.FINISHED, started=started)
    score = {"best_miou": best, "best_step": 200, "last_miou": best - 0.002, "it_per_s": 7.6}
    status = json.loads(run.status.read_text()) | score
    run.status.write_text(json.dumps(status))
    manifest = json.loads(run.manifest.read_text()) | {"config": {"optimizer": {"lr": lr}, "seed": 1}}
    run.manifest.write_text(json.dumps(manifest))
    return run


def write_thirty(folder: Path) -> list[RunFolder]:
    """Thirty runs, the oldest first."""
    scores = [BEST.get(number, 0.100 + 0.001 * (number % 7)) for number in range(30)]
    return [write_scored(folder, f"run{n:02d}", score, age_h=31 - n) for n, score in enumerate(scores)]


if __name__ == "__main__":
    workspace = Path(sys.argv[1])
    (workspace / "nuScenes").mkdir(parents=True)
    init_workspace(workspace / "DiffBEV", workspace / "nuScenes", demo=True)
    write_thirty(workspace / "DiffBEV" / "runs")
