"""Compare this tree with an earlier commit, on this machine: ``python -m tests.golden.compare_with COMMIT``.

Both trees prepare the same frames, train the same 50 seeded steps of the baseline and of DiffBEV on the CPU,
and evaluate the same checkpoint; everything but timings must be equal to the bit. Then a runbook that the
earlier commit has finished is opened, checked and resumed with this tree. ``--nuscenes DIR`` names a root
with scenes 0523 and 0916 of nuScenes; without it a synthetic world takes their place. Takes about four
minutes on two cores. The exit code is 1 if anything differs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.golden.differences import (
    Different,
    same_arrays,
    same_checkpoint,
    same_files,
    same_json,
    same_labels,
    same_rows,
)

_THIS_TREE = Path(__file__).resolve().parents[2]
_STEPS = 50
_SIZE = (96, 160)
_SPLIT = "scene-0523=train,scene-0916=val"

# Keys that this tree writes on purpose and the earlier commit did not, by the file that has them.
ADDED: dict[str, frozenset[str]] = {
    "index.jsonl": frozenset(),
    "evaluation": frozenset({"unseen"}),
    # Settings with the defaults that keep everything as it was; the weights' average, which is empty;
    # the cameras of the training images.
    "checkpoint": frozenset(
        {
            *("target", "process", "aligned", "calibrated", "self_condition", "amplitude", "condition_skips"),
            *("compress", "oracle", "ema", "dist_params", "cameras", "hooks", "load_from"),
            *("recompute", "frame_cache"),
        }
    ),
}

_TRAINING = f"""
compile = "off"
data_root = "exact"
data = dict(samples_per_gpu=2, workers_per_gpu=0, image_size={_SIZE}, cameras="front")
runner = dict(max_iters={_STEPS})
checkpoint_config = dict(interval={_STEPS})
evaluation = dict(interval={_STEPS})
log_config = dict(interval=1)
"""
_PUBLISHED = """
data = dict(load_depth=True)
model = dict(
    depth_loss=dict(form="bce_mean", weight=10.0),
    diffusion=dict(widths=(16, 32, 32), blocks=1, groups=8, fusion=dict(key_stride=8)),
)
"""
_MODELS = {"baseline": ("Lwce",), "diffbev": ("Lwce", "Ldepth", "Ldiff")}
_WORKSPACE_STEPS = 50
_WORKSPACE = f"""
data = dict(samples_per_gpu=1, workers_per_gpu=0, image_size=(64, 96))
runner = dict(max_iters={_WORKSPACE_STEPS})
checkpoint_config = dict(interval={_WORKSPACE_STEPS // 2})
evaluation = dict(interval={_WORKSPACE_STEPS})
log_config = dict(interval=1)
model = dict(
    backbone=dict(name="resnet10t", pretrained=None, out_stage=2),
    lift=dict(mode="aligned", channels=8),
    head=dict(planes=(4, 4), blocks=1, groups=4),
)
"""
_WORKSPACE_DIFFBEV = """
model = dict(
    depth_loss=dict(form="bce_mean", weight=10.0),
    diffusion=dict(widths=(8, 8, 8), blocks=1, groups=4, fusion=dict(heads=2, key_stride=8)),
)
"""
_CONFIGS = {
    "baseline": "baseline/lss_swin_nuscenes.py",
    "diffbev_default": "diffbev/diffbev_lss_swin_nuscenes.py",
}
_WORLD = """
import sys
from pathlib import Path
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.synthesize import synthesize
size = {"scenes": 2, "samples_per_scene": 51, "image_size": (90, 160)}
synthesize(SynthJob(Path(sys.argv[1]), "v1.0-trainval", workers=1, **size))
"""


@dataclass(frozen=True)
class Side:
    """One tree, and the folder that its commands run in."""

    tree: Path
    folder: Path

    def engine(self, *arguments: object, expect: int = 0) -> str:
        """The standard output of one command of this tree."""
        return self.python("-m", "diffbev_engine", *arguments, expect=expect)

    def python(self, *arguments: object, expect: int = 0) -> str:
        """The standard output of this tree under Python."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(self.tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "DIFFBEV_ALLOW_PYTORCH2": "1",
        }
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != expect:
            command, said = " ".join(map(str, arguments)), (done.stdout + done.stderr)[-2000:]
            raise Different(f"{self.tree}: `{command}` ended with {done.returncode}, not {expect}:\n{said}")
        return done.stdout


class Report:
    """One line per item, as soon as it is known."""

    def __init__(self) -> None:
        self.failed = 0

    def item(self, name: str, compare: Callable[[], str]) -> None:
        """Print whether ``compare`` found the item equal."""
        try:
            print(f"equal    {name}: {compare()}", flush=True)
        except (Different, OSError, KeyError, ValueError, TypeError) as error:
            self.failed += 1
            print(f"DIFFERS  {name}: {type(error).__name__}: {error}", flush=True)


def main() -> int:
    """Compare, and say so."""
    parser = argparse.ArgumentParser(description="Compare this tree with an earlier commit, to the bit.")
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("--nuscenes", type=Path, metavar="DIR", help="a root with scenes 0523 and 0916")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="golden_") as name:
        report, old_tree = Report(), _tree_of(options.commit, Path(name))
        old, new = Side(old_tree, Path(name) / "old"), Side(_THIS_TREE, Path(name) / "new")
        for side in (old, new):
            side.folder.mkdir()
            _is_of_its_tree(side)
        with ThreadPoolExecutor(2) as pool:
            sides = [pool.submit(_results, side, options.nuscenes) for side in (old, new)]
            workspace = pool.submit(_finished_runbook, old)
            for side in sides:
                side.result()
            _compare_data(report, old.folder, new.folder)
            _compare_trainings(report, old.folder, new.folder)
            evaluations = [pool.submit(_evaluation, side, old.folder) for side in (old, new)]
            for side in evaluations:
                side.result()
            _compare_evaluation(report, old.folder, new.folder)
            _control(report, new)
            _open_workspace(report, old, new, workspace.result())
    print(f"{report.failed} of the items differ" if report.failed else "everything is equal", end="")
    print(f" ({time.monotonic() - started:.0f} s)")
    return 1 if report.failed else 0


def _tree_of(commit: str, folder: Path) -> Path:
    """The files of ``commit``; the repository is left as it is."""
    archive = ["git", "-C", str(_THIS_TREE), "archive", "--format=tar", f"--output={folder}/tree.tar", commit]
    subprocess.run(archive, check=True)
    (folder / "tree").mkdir()
    subprocess.run(["tar", "-xf", "tree.tar", "-C", "tree"], cwd=folder, check=True)
    return folder / "tree"


def _is_of_its_tree(side: Side) -> None:
    found = Path(side.python("-c", "import diffbev_engine as e; print(e.__file__)").strip())
    if side.tree not in found.parents:
        raise SystemExit(f"Python imports {found}, not the package of {side.tree}")


def _results(side: Side, nuscenes: Path | None) -> None:
    """Data, labels, depth and two trained models of one tree, in its folder."""
    side.engine("synth", "synthetic", "--version", "v1.0-mini", "--workers", "1", "--scenes", "2")
    root, split = side.folder / "nuScenes", "pon"
    if nuscenes is None:
        root.symlink_to("synthetic")
    else:  # a view of it: the index of the tables is written here, not there
        split = _SPLIT
        root.mkdir()
        for name in ("samples", "maps"):
            (root / name).symlink_to(nuscenes.resolve() / name)
        shutil.copytree(nuscenes / "v1.0-mini", root / "v1.0-mini", ignore=lambda *_: [".diffbev_index.npz"])
    shared = ("--nuscenes-root", "nuScenes", "--workers", "1")
    for raster in ("exact", "pon"):
        choices = ("--cameras", "front", "--split", split, "--raster", raster)
        side.engine("prepare", *shared, *choices, "--output-dir", raster)
    for folder, (height, width) in (("exact/ann_bev_dir", _SIZE), ("full_depth", (600, 800))):
        depth = ("--data-root", "exact", "--cameras", "CAM_FRONT", "--output-dir", folder)
        side.engine("prepare-depth", *shared, *depth, "--height", height, "--width", width)
    texts = {
        "baseline": f'_base_ = ["baseline/lss_swin_demo.py"]\n{_TRAINING}',
        "diffbev": f'_base_ = ["./baseline.py"]\n{_PUBLISHED}',
    }
    for model, text in texts.items():
        (side.folder / f"{model}.py").write_text(text)
        side.engine("train", f"{model}.py", "--work-dir", f"runs/{model}")


def _evaluation(side: Side, trained: Path) -> None:
    """What one tree makes of the checkpoint that the earlier commit trained."""
    checkpoint = trained / f"runs/diffbev/iter_{_STEPS}.pth"
    side.engine(
        *("evaluate", "diffbev.py", checkpoint, "--seeds", "2", "--steps", "1,2", "--json"),
        *("--out", "evaluation.json"),
    )


def _compare_data(report: Report, old: Path, new: Path) -> None:
    for kind, pattern, count in (
        ("tables", "v1.0-mini/*.json", 13),
        ("sensors", "samples/*/*", 24),
        ("maps", "maps/**/*.*", 1),
    ):
        worlds = (old / "synthetic", new / "synthetic", pattern, count)
        report.item(f"synthetic world, {kind}", lambda w=worlds: same_files(*w))
    for raster in ("exact", "pon"):
        folders = (old / raster / "ann_bev_dir", new / raster / "ann_bev_dir")
        report.item(f"labels, --raster {raster}", lambda f=folders: same_labels(*f, "*/*.png", 12))
    report.item(
        "two rasters", lambda: _different(same_labels, old / "exact", old / "pon", "ann_bev_dir/*/*.png", 12)
    )
    for depth in ("exact/ann_bev_dir", "full_depth"):
        report.item(f"depth, {depth}", lambda d=depth: same_arrays(old / d, new / d, "*_depth/*.npz", 12))
    for name in ("calib.json", "index.jsonl"):
        added = ADDED.get(name, frozenset())
        report.item(name, lambda n=name, a=added: same_json(old / "exact" / n, new / "exact" / n, a, 80))


def _compare_trainings(report: Report, old: Path, new: Path) -> None:
    for model, losses in _MODELS.items():
        runs = old / "runs" / model, new / "runs" / model
        rows = [run / "metrics.csv" for run in runs]
        report.item(f"{_STEPS} steps of {model}", lambda r=rows, n=losses: same_rows(*r, _STEPS, n))
        weights = [run / f"iter_{_STEPS}.pth" for run in runs]
        report.item(f"checkpoint of {model}", lambda w=weights: same_checkpoint(*w, ADDED["checkpoint"]))


def _compare_evaluation(report: Report, old: Path, new: Path) -> None:
    results = old / "evaluation.json", new / "evaluation.json"
    report.item("evaluation of one checkpoint", lambda: same_json(*results, ADDED["evaluation"], 200))


def _control(report: Report, new: Side) -> None:
    """The same training with another seed: if that were found equal, nothing above would mean anything."""
    new.engine("train", "baseline.py", "--work-dir", "runs/control", "--set", "seed=1")
    runs = [new.folder / "runs" / name for name in ("baseline", "control")]
    rows, weights = ([run / name for run in runs] for name in ("metrics.csv", f"iter_{_STEPS}.pth"))
    report.item("control, another seed", lambda: _different(same_rows, *rows, _STEPS, ("Lwce",)))
    report.item("control, its checkpoint", lambda: _different(same_checkpoint, *weights))


def _different(compare: Callable[..., str], *arguments: object) -> str:
    try:
        compare(*arguments)
    except Different as error:
        return f"differs, as it must ({str(error)[:60]} …)"
    raise Different("found equal, and must not be")


def _finished_runbook(old: Side) -> Path:
    """A workspace in which the earlier commit has run the whole runbook, on a small world."""
    side = Side(old.tree, old.folder.parent / "demo")
    side.folder.mkdir()
    root, workspace = side.folder / "nuScenes", side.folder / "DiffBEV"
    side.python("-c", _WORLD, root)
    side.engine("prepare", "--nuscenes-root", root, "--cameras", "front", "--workers", "1")
    side.engine("init", workspace, "--nuscenes-root", root, "--demo")
    for config, text in (("_base_/demo.py", _WORKSPACE), (_CONFIGS["diffbev_default"], _WORKSPACE_DIFFBEV)):
        with (workspace / "configs" / config).open("a") as file:
            file.write(text)
    side.engine("runbook", "run", workspace)
    return workspace


def _open_workspace(report: Report, old: Side, new: Side, workspace: Path) -> None:
    """The workspace of the earlier commit, read and continued by this tree."""
    before, after = (json.loads(side.engine("runbook", "status", workspace, "--json")) for side in (old, new))
    report.item("states of a finished runbook", lambda: _same_states(before, after))
    checked = [json.loads(side.engine("runbook", "check", workspace, "--json")) for side in (old, new)]
    report.item("criteria of a finished runbook", lambda: _same_checks(*checked))
    for run, config in _CONFIGS.items():
        report.item(f"{run} resumed", lambda c=config, r=run: _resumed(old, new, workspace, c, r))
    listed = json.loads(new.engine("runs", "list", workspace, "--json"))
    report.item("runs of the workspace", lambda: _runs_known(listed))


def _states(status: dict) -> dict[str, str]:
    return {step["id"]: step["state"] for phase in status["phases"] for step in phase["steps"]}


def _same_states(before: dict, after: dict) -> str:
    old, new = _states(before), _states(after)
    if set(old.values()) != {"passed", "skipped"} or len(old) < 30:
        raise Different(f"the earlier commit has not finished its runbook: {old}")
    if changed := {step: (old.get(step), new.get(step)) for step in old if old[step] != new.get(step)}:
        raise Different(f"{changed}")
    return f"{len(old)} steps, {after['counts']['passed']} passed"


def _same_checks(before: dict, after: dict) -> str:
    old, new = ({step["id"] for step in found["steps"] if step["passed"]} for found in (before, after))
    if len(old) < 30:
        raise Different(f"with the earlier commit only {sorted(old)} hold")
    if lost := sorted(old - new):
        raise Different(f"steps {', '.join(lost)} do not hold any more")
    return f"{len(old)} steps hold"


def _resumed(old: Side, new: Side, workspace: Path, config: str, run: str) -> str:
    """Both trees continue copies of one run, which must end alike to the bit."""
    last, copies = 2 * _WORKSPACE_STEPS, []
    for side in (old, new):
        copies.append(side.folder / "resumed" / run)
        shutil.copytree(workspace / "runs" / run, copies[-1])
        changes = ("--set", f"runner.max_iters={last}")
        side.engine("train", workspace / "configs" / config, "--work-dir", copies[-1], "--resume", *changes)
    rows = same_rows(*(copy / "metrics.csv" for copy in copies), last, ("Lwce",))
    weights = (copy / f"iter_{last}.pth" for copy in copies)
    return f"{rows}; {same_checkpoint(*weights, ADDED['checkpoint'])}"


def _runs_known(listed: list[dict]) -> str:
    states = {Path(run["path"]).name: run["state"] for run in listed}
    if states != dict.fromkeys(("baseline", "baseline_smoke", "diffbev_default"), "finished"):
        raise Different(f"{states}")
    return f"{len(states)} runs, all finished"


if __name__ == "__main__":
    sys.exit(main())
