"""Detectors of known problems in the files of a workspace, by the names that ``problems*.toml`` use."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.file_kind import IMAGE_SUFFIXES
from diffbev_engine.core.files import same_but_case
from diffbev_engine.core.format import points
from diffbev_engine.findings import failure
from diffbev_engine.findings.depth_coverage import depth_coverage
from diffbev_engine.findings.failure import Detector, FailureContext
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.metrics.integrity import Fault, MetricsError, damage

_STUCK = (0.036, 0.056)
_MOST_READ = 4 << 20
"""Bytes of a metrics.csv: more takes seconds and says nothing more about its health."""


def data_root_case(context: FailureContext) -> Bilingual | None:
    """The data root is not there, but a folder whose name differs in case only."""
    root = context.data_root
    if root is None or root.exists():
        return None
    found = same_but_case(root)
    return (
        Bilingual(f"{root} 不存在，但有 {found[0]}", f"{root} does not exist, but {found[0]} does")
        if found
        else None
    )


def data_folders_missing(context: FailureContext) -> Bilingual | None:
    """Folders of images or labels are missing."""
    root = context.data_root
    if root is None:
        return None
    wanted = [root / kind / split for kind in ("img_dir", "ann_bev_dir") for split in ("train", "val")]
    missing = ", ".join(str(path) for path in wanted if not path.is_dir())
    return Bilingual(f"缺少 {missing}", f"missing: {missing}") if missing else None


def depth_missing(context: FailureContext) -> Bilingual | None:
    """Images are there, and some or all of their depth is not."""
    root = context.data_root
    if root is None:
        return None
    for split in ("train", "val"):
        images = root / "img_dir" / split
        if not images.is_dir():
            continue
        tokens = {path.stem: None for path in images.iterdir() if path.suffix in IMAGE_SUFFIXES}
        found = depth_coverage(root / "ann_bev_dir" / f"{split}_depth", tokens, None)
        if not found.complete:
            words = found.describe()
            return Bilingual(f"{found.directory}：{words.zh}", f"{found.directory}: {words.en}")
    return None


def configuration_missing(context: FailureContext) -> Bilingual | None:
    """A configuration of the workspace is missing."""
    if context.workspace is None:
        return None
    configs = context.workspace / "configs"
    names = ("baseline/lss_swin_nuscenes.py", "diffbev/diffbev_lss_swin_nuscenes.py")
    missing = [name for name in names if not (configs / name).is_file()]
    return Bilingual(f"缺少 configs/{missing[0]}", f"configs/{missing[0]} is missing") if missing else None


def checkpoint_missing(context: FailureContext) -> Bilingual | None:
    """A run that was trained, or is needed, has no best checkpoint."""
    for folder in _run_dirs(context, "checkpoint-missing"):
        if not (folder / "best_mIoU.pth").is_file():
            shown = folder / "best_mIoU.pth"
            return Bilingual(f"没有 {shown}", f"there is no {shown}")
    return None


def metrics_missing(context: FailureContext) -> Bilingual | None:
    """A run directory has no ``metrics.csv``, or one without a row."""
    for folder in _run_dirs(context, "4"):
        path = folder / "metrics.csv"
        if not path.exists() or not path.stat().st_size:
            return Bilingual(f"{path} 不存在或为空", f"{path} is missing or empty")
        try:
            read_metrics(path, _MOST_READ)
        except MetricsError as error:
            if not _was_overwritten(folder, error.fault):
                return error.text
    return None


def metrics_damaged(context: FailureContext) -> Bilingual | None:
    """A ``metrics.csv`` cannot be read, more of its rows cannot than can, or it ends before its run did."""
    for folder in _run_dirs(context, "metrics-damaged"):
        path = folder / "metrics.csv"
        if not path.exists() or not path.stat().st_size:
            continue
        try:
            metrics = read_metrics(path, _MOST_READ)
        except MetricsError as error:
            if _was_overwritten(folder, error.fault):
                return error.text
            continue
        if found := damage(path, metrics):
            return found
    return None


def _was_overwritten(folder: Path, fault: Fault) -> bool:
    """Whether the file is damaged, or no longer what the run of this program wrote."""
    return fault is Fault.DAMAGED or (fault is Fault.FOREIGN and (folder / "run.json").exists())


def nan_in_metrics(context: FailureContext) -> Bilingual | None:
    """A loss was logged as NaN or infinite."""
    for folder in [context.run_dir] if context.run_dir else []:
        try:
            metrics = read_metrics(folder / "metrics.csv", _MOST_READ)
        except MetricsError:
            continue
        for column in ("loss", "Lwce", "Ldepth", "Ldiff"):
            step = metrics.first_not_finite(column)
            if step is not None:
                return Bilingual(
                    f"第 {step} 次迭代 {column} 不是有限值", f"{column} is not finite at step {step}"
                )
    return None


def miou_stuck(context: FailureContext) -> Bilingual | None:
    """The last evaluations all gave an mIoU of about 0.046."""
    if context.run_dir is None:
        return None
    try:
        values = read_metrics(context.run_dir / "metrics.csv").series("mIoU").values[-3:]
    except MetricsError:
        return None
    if len(values) < 2 or not all(_STUCK[0] <= value <= _STUCK[1] for value in values):
        return None
    shown = ", ".join(points(value) for value in values)
    return Bilingual(f"最近的 mIoU：{shown}", f"last mIoU: {shown}")


_OF_THE_RUN: Sequence[Detector] = (nan_in_metrics, miou_stuck, metrics_damaged)
_OF_THE_WORKSPACE: Sequence[Detector] = (
    *(data_root_case, data_folders_missing, depth_missing, configuration_missing, checkpoint_missing),
    metrics_missing,
)
DETECTORS: Mapping[str, Detector] = {
    **failure.DETECTORS,
    **{detector.__name__: detector for detector in (*_OF_THE_RUN, *_OF_THE_WORKSPACE)},
}
OF_THE_RUN = failure.OF_THE_RUN | {detector.__name__ for detector in _OF_THE_RUN}
"""Detectors whose evidence is in the run itself; the others are about the machine and the workspace."""


def _run_dirs(context: FailureContext, problem: str) -> list[Path]:
    """The runs to check: that nothing has been trained yet is a problem only where a step needs it."""
    if context.run_dir:
        return [context.run_dir]
    needed = problem in context.suspects
    return [folder for folder in context.run_dirs if needed or (folder / "run.json").exists()]
