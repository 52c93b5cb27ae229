"""Signs of known problems in files and on the machine, by the names that ``problems*.toml`` use.

Each sign is a look that changes nothing and gives what was seen, or ``None``.
"""

import shutil
import socket
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.gpu import read_gpus
from diffbev_engine.runbook.case import Case
from diffbev_engine.runbook.damage import damage_of, why_unreadable
from diffbev_engine.runs.metrics_reader import read_metrics

Sign = Callable[[Case], Bilingual | None]
_FULL_GIB = 0.5
_STUCK = (0.036, 0.056)
_MOST_READ = 4 << 20
"""Bytes of a metrics.csv: more takes seconds and says nothing more about its health."""
_RUNS = ("baseline", "diffbev_default")
_RUN_FILES = (".csv", ".pth", ".log")


def data_root_case(case: Case) -> Bilingual | None:
    """The data root is not there, but a folder whose name differs in case only."""
    root = case.roots.nuscenes_root if case.roots else None
    if root is None or root.exists():
        return None
    found = _other_case(root)
    return (
        Bilingual(f"{root} 不存在，但有 {found}", f"{root} does not exist, but {found} does")
        if found
        else None
    )


def data_folders_missing(case: Case) -> Bilingual | None:
    """Folders of images or labels are missing."""
    if case.roots is None:
        return None
    root = case.roots.nuscenes_root
    wanted = [root / kind / split for kind in ("img_dir", "ann_bev_dir") for split in ("train", "val")]
    missing = ", ".join(str(path) for path in wanted if not path.is_dir())
    return Bilingual(f"缺少 {missing}", f"missing: {missing}") if missing else None


def depth_missing(case: Case) -> Bilingual | None:
    """Images are there and their depth is not."""
    if case.roots is None or not (case.roots.nuscenes_root / "img_dir").is_dir():
        return None
    labels = case.roots.nuscenes_root / "ann_bev_dir"
    for folder in (labels / "train_depth", labels / "val_depth"):
        if not folder.is_dir():
            return Bilingual(f"没有 {folder}", f"there is no {folder}")
        if not any(islice(folder.glob("*.npz"), 1)):
            return Bilingual(f"{folder} 中没有 .npz", f"no .npz in {folder}")
    return None


def configuration_missing(case: Case) -> Bilingual | None:
    """A configuration of the workspace is missing."""
    if case.roots is None:
        return None
    configs = case.roots.workspace / "configs"
    names = ("baseline/lss_swin_nuscenes.py", "diffbev/diffbev_lss_swin_nuscenes.py")
    missing = [name for name in names if not (configs / name).is_file()]
    return Bilingual(f"缺少 configs/{missing[0]}", f"configs/{missing[0]} is missing") if missing else None


def checkpoint_missing(case: Case) -> Bilingual | None:
    """A run that was trained, or is needed, has no best checkpoint."""
    for folder in _run_dirs(case, "checkpoint-missing"):
        if not (folder / "best_mIoU.pth").is_file():
            shown = folder / "best_mIoU.pth"
            return Bilingual(f"没有 {shown}", f"there is no {shown}")
    return None


def metrics_missing(case: Case) -> Bilingual | None:
    """A run directory has no ``metrics.csv``, or one without a row."""
    for folder in _run_dirs(case, "4"):
        path = folder / "metrics.csv"
        if not path.exists() or not path.stat().st_size:
            return Bilingual(f"{path} 不存在或为空", f"{path} is missing or empty")
        try:
            read_metrics(path, _MOST_READ)
        except DiffBEVError as error:
            if "is damaged" not in str(error):
                return why_unreadable(path, error)
    return None


def metrics_damaged(case: Case) -> Bilingual | None:
    """A ``metrics.csv`` cannot be read, more of its rows cannot than can, or it ends before its run did."""
    for folder in _run_dirs(case, "metrics-damaged"):
        path = folder / "metrics.csv"
        if not path.exists() or not path.stat().st_size:
            continue
        try:
            metrics = read_metrics(path, _MOST_READ)
        except DiffBEVError as error:
            if "is damaged" in str(error):
                return why_unreadable(path, error)
            continue
        if damage := damage_of(metrics):
            return damage
    return None


def nan_in_metrics(case: Case) -> Bilingual | None:
    """A loss was logged as NaN or infinite."""
    for folder in [case.run_dir] if case.run_dir else []:
        try:
            metrics = read_metrics(folder / "metrics.csv", _MOST_READ)
        except DiffBEVError:
            continue
        for column in ("loss", "Lwce", "Ldepth", "Ldiff"):
            step = metrics.first_not_finite(column)
            if step is not None:
                return Bilingual(
                    f"第 {step} 次迭代 {column} 不是有限值", f"{column} is not finite at step {step}"
                )
    return None


def miou_stuck(case: Case) -> Bilingual | None:
    """The last evaluations all gave an mIoU of about 0.046."""
    if case.run_dir is None:
        return None
    try:
        values = read_metrics(case.run_dir / "metrics.csv").series("mIoU").values[-3:]
    except DiffBEVError:
        return None
    if len(values) < 2 or not all(_STUCK[0] <= value <= _STUCK[1] for value in values):
        return None
    shown = ", ".join(f"{value:.3f}" for value in values)
    return Bilingual(f"最近的mIoU：{shown}", f"last mIoU: {shown}")


def no_gpu(case: Case) -> Bilingual | None:  # noqa: ARG001
    """No NVIDIA GPU answers."""
    found = read_gpus()
    return found.problem if found.trouble and found.trouble.means_no_gpu else None


def disk_full(case: Case) -> Bilingual | None:
    """A disk has almost no room left."""
    places = [case.run_dir, *([case.roots.workspace, case.roots.nuscenes_root] if case.roots else [])]
    for place in places:
        if place and place.exists():
            free = shutil.disk_usage(place).free / 2**30
            if free < _FULL_GIB:
                return Bilingual(f"{place}：剩余 {free:.2f} GiB", f"{place}: {free:.2f} GiB free")
    return None


def oom_report(case: Case) -> Bilingual | None:
    """The run wrote ``oom_report.json``."""
    if not case.oom_report:
        return None
    return Bilingual("oom_report.json 存在", "there is an oom_report.json")


def killed_without_a_word(case: Case) -> Bilingual | None:
    """The status says that it trains, but its process is gone and left no error."""
    if case.status.get("state") not in ("starting", "training", "evaluating"):
        return None
    pid, started = case.manifest.get("pid"), case.manifest.get("pid_started")
    if not isinstance(pid, int) or case.manifest.get("host") != socket.gethostname():
        return None
    if _alive(pid, started) or "Traceback" in case.log[-4000:]:
        return None
    return Bilingual(
        f"进程 {pid} 已不存在，但状态仍为 {case.status['state']}：被 SIGKILL 终止，或机器重启",
        f"process {pid} no longer exists although status.json says {case.status['state']}: killed "
        f"by SIGKILL, or the machine rebooted",
    )


SIGNS: dict[str, Sign] = {
    sign.__name__: sign
    for sign in (
        *(data_root_case, data_folders_missing, depth_missing, configuration_missing, checkpoint_missing),
        *(metrics_missing, metrics_damaged, nan_in_metrics, miou_stuck, no_gpu, disk_full, oom_report),
        killed_without_a_word,
    )
}
OF_THE_RUN = {"nan_in_metrics", "oom_report", "killed_without_a_word", "miou_stuck", "metrics_damaged"}
"""Signs that a run directory carries itself; the others are about the machine and the workspace."""


def _run_dirs(case: Case, problem: str) -> list[Path]:
    """The run directory in question, else those that the step names, else those of the workspace.

    For a step that points to ``problem`` all of them; for others those that hold a run: that nothing
    has been trained yet is no trouble.
    """
    if case.run_dir:
        return [case.run_dir]
    if case.roots is None:
        return []
    patterns = (*case.step.inputs, *case.step.outputs) if case.step else ()
    of_runs = [
        pattern for pattern in patterns if pattern.startswith("runs/") and pattern.endswith(_RUN_FILES)
    ]
    named = [pattern.split("/")[1] for pattern in of_runs]
    folders = [case.roots.workspace / "runs" / name for name in dict.fromkeys(named or _RUNS)]
    needed = case.step is not None and problem in case.step.problems
    return [folder for folder in folders if needed or (folder / "run.json").exists()]


def _other_case(path: Path) -> Path | None:
    """A path that exists and differs from ``path`` in case only."""
    here = Path(path.anchor)
    for part in path.parts[1:]:
        if (here / part).exists():
            here = here / part
            continue
        try:
            same_letters = [entry for entry in here.iterdir() if entry.name.lower() == part.lower()]
        except OSError:
            return None
        if not same_letters:
            return None
        here = same_letters[0]
    return here


def _alive(pid: int, started: object) -> bool:
    import psutil

    try:
        found = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return not isinstance(started, int | float) or abs(found - started) < 2.0
