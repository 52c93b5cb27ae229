"""A workspace with runs in it, as trainings leave them, and the UI on it."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import identify
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_engine.workspace.init import init_workspace
from tests.benchmarks.tui.rows import write_metrics
from tests.benchmarks.tui.terminal import SIZE, Terminal, ui_command

STEPS = 200_000
_AGE_S = 5400.0


@dataclass(frozen=True)
class Bench:
    """A workspace, and a home for what the UI remembers of its user."""

    workspace: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables for programs that look at the workspace."""
        return home_variables(self.home)

    def run(self, name: str) -> RunFolder:
        """The directory of a run."""
        return RunFolder(self.workspace / "runs" / name)

    def open(self, size: tuple[int, int] = SIZE) -> Terminal:
        """The UI on the workspace, just started."""
        return Terminal(ui_command(self.workspace), self.environment, size)


def home_variables(home: Path) -> dict[str, str]:
    """What makes a program remember its user's choices in ``home``."""
    return {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}


@contextmanager
def bench_workspace() -> Iterator[Bench]:
    """A demo workspace without data and without runs, for as long as it is needed."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "nuScenes").mkdir()
        init_workspace(root / "DiffBEV", root / "nuScenes", demo=True)
        yield Bench(root / "DiffBEV", root / "home")


def add_run(bench: Bench, name: str, *, rows: int = 1000, running: bool = False) -> RunFolder:
    """A run with a row every 50 steps; one that is ``running`` is this very process."""
    folder = bench.run(name)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_metrics(folder.metrics, rows, step=50)
    started = time.time() - _AGE_S
    manifest = {"started": datetime.fromtimestamp(started).astimezone().isoformat(), "config_path": "c.py"}
    if running:
        manifest["process"] = asdict(identify())  # type: ignore[assignment]
    folder.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    write_status(folder, 50 * rows, running=running)
    folder.checkpoint(50 * rows).touch()
    folder.latest.touch()
    lines = (f"2026-03-01 12:41:{at % 60:02d} I iter {50 * at}/{STEPS} loss 0.287\n" for at in range(rows))
    folder.log(datetime.fromtimestamp(started)).write_text("".join(lines), encoding="utf-8")
    return folder


def write_status(folder: RunFolder, step: int, *, running: bool) -> None:
    """``status.json`` at a step."""
    state = RunState.TRAINING if running else RunState.FINISHED
    speed = {"it_per_s": 7.6, "images_per_s": 30.4, "data_wait": 0.012, "eta_s": 9e3} if running else {}
    best = {"best_miou": random.Random(step).random(), "best_step": step}
    status = RunStatus(state, STEPS, step, time.time() - (0 if running else 1000), **speed, **best)  # type: ignore[arg-type]
    folder.status.write_text(json.dumps(asdict(status)), encoding="utf-8")


def three_runs(bench: Bench) -> None:
    """Two that have finished and one that goes on."""
    add_run(bench, "baseline")
    add_run(bench, "baseline_seed_1")
    add_run(bench, "diffbev", running=True)
