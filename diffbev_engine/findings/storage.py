"""Disk and run directory: writable, not in use, enough free space."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.disk import checkpoints_at_once
from diffbev_engine.core.files import expanded
from diffbev_engine.core.format import byte_size
from diffbev_engine.dataset.frame_cache import frame_folder
from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.findings.finding import Finding, Remedy, error, ok, warning
from diffbev_engine.findings.plan import Plan
from diffbev_engine.prepare.data_root import SPLITS
from diffbev_engine.runs.lock import RunHeldError, refuse_if_held

_ROW = 420  # bytes of metrics.csv and log for one logged step
_DEPTH_PER_PIXEL = 0.08  # bytes of a compressed depth file: 40 kB at 600 x 800
_FRAME_PER_PIXEL = 3  # bytes of a resized image in the cache
_FREE_INODES = 1000


def work_dir(plan: Plan) -> Iterator[Finding]:
    """Nobody else writes to the run directory, and this user may."""
    folder = plan.folder.path
    try:
        refuse_if_held(plan.folder)
    except RunHeldError as held:
        yield error(
            "work_dir",
            Bilingual(
                f"另一个训练正在使用：{held.owner}", f"another training process writes to it: {held.owner}"
            ),
            folder,
            Remedy(
                Bilingual(
                    "先停止它（diffbev-engine runs stop），或换一个目录",
                    "stop it with `diffbev-engine runs stop`, or take another folder",
                ),
                argv=(PROGRAM, "runs", "stop", str(folder.absolute())),
            ),
        )
        return
    nearest = existing(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield error(
            "work_dir",
            Bilingual(f"{nearest} 不可写", f"{nearest} cannot be written"),
            folder,
            Bilingual("换一个目录或修改权限", "take another folder, or change its permissions"),
        )
    elif plan.folder.holds_a_run():
        resume = "--resume" if plan.folder.latest.exists() else ""
        yield warning(
            "work_dir",
            Bilingual(
                "已有一次训练；不加 --resume 会把它移到子目录",
                "contains an earlier run; without --resume it is moved to a subdirectory",
            ),
            folder,
            Bilingual(
                f"要继续它，请加 {resume or '--resume PATH'}",
                f"to continue it, start with {resume or '--resume PATH'}",
            ),
        )
    else:
        yield ok(
            "work_dir", Bilingual("可写，没有其他训练", "writable, and no other training is in it"), folder
        )


def disk(plan: Plan) -> Iterator[Finding]:
    """Room for checkpoints, metrics and log, and for depth and resized images that are still to be made."""
    size, kept = checkpoint_bytes(plan), plan.settings.checkpoint_config.max_keep_ckpts
    count = checkpoints_at_once(kept)
    runner, log = plan.settings.runner, plan.settings.log_config
    need = size * count + runner.max_iters // log.interval * _ROW - (_saved(plan) if plan.resuming else 0)
    needs = {_device(plan.folder.path): max(need, 2 * size)}
    places = {_device(plan.folder.path): existing(plan.folder.path)}
    detail = Bilingual(
        f"保留 {kept} 个，加 latest、best 与正在写入的：{count} × {byte_size(size)}",
        f"{kept} kept, latest, best, those being written: {count} × {byte_size(size)}",
    )
    height, width = plan.settings.data.image_size
    depths, frames, cache = _missing_depth(plan), _missing_frames(plan), plan.settings.data.frame_cache
    for place, size in (
        (plan.root.root, int(depths * height * width * _DEPTH_PER_PIXEL)),
        (expanded(cache or plan.root.root), frames * height * width * _FRAME_PER_PIXEL),
    ):
        if size:
            device = _device(place)
            needs[device] = needs.get(device, 0) + size
            places.setdefault(device, existing(place))
    for device, need in needs.items():
        yield _judge(need, places[device], detail, depths, frames)


def checkpoint_bytes(plan: Plan) -> int:
    """Size of a checkpoint: weights, buffers, the two means of AdamW and perhaps one more for each weight."""
    import torch

    from diffbev_engine.models.model import build_model

    with torch.device("meta"):  # sizes without values
        model = build_model(plan.settings.model.without_pretrained(), plan.settings.data.image_size)
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    means = 3 if plan.settings.ema else 2
    return (1 + means) * weights + sum(each.numel() * each.element_size() for each in model.buffers())


def _saved(plan: Plan) -> int:
    """Bytes of the checkpoints that this run has already, and will replace."""
    files = {
        path.stat().st_ino: path.stat().st_size for path in plan.folder.checkpoint_files() if path.is_file()
    }
    return sum(files.values())


def existing(path: Path) -> Path:
    """``path``, or its nearest parent that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _device(path: Path) -> int:
    return existing(path).stat().st_dev


def _missing_depth(plan: Plan) -> int:
    """Images whose depth is still to be made; 0 without any image."""
    if not plan.settings.data.load_depth or not (plan.root.root / "img_dir").is_dir():
        return 0
    return sum(len(plan.files[split].images.keys() - plan.files[split].depths) for split in SPLITS)


def _missing_frames(plan: Plan) -> int:
    """Images that the cache of resized images does not have yet; 0 without a cache, or any image."""
    data = plan.settings.data
    if data.frame_cache is None or not (plan.root.root / "img_dir").is_dir():
        return 0
    kept = {path.name for path in frame_folder(data.frame_cache, data.image_size).glob("*/*")}
    return sum(len(plan.files[split].images.keys() - kept) for split in SPLITS)


def _judge(need: int, place: Path, detail: Bilingual, depths: int, frames: int) -> Finding:
    free, inodes = shutil.disk_usage(place).free, os.statvfs(place).f_favail
    more_zh = f"，{depths} 个深度文件" * bool(depths) + f"，{frames} 张缩放后的图像" * bool(frames)
    more_en = f", {depths} depth files" * bool(depths) + f", {frames} resized images" * bool(frames)
    what = Bilingual(
        f"需要约 {byte_size(need)}（检查点：{detail.zh}{more_zh}），剩余 {byte_size(free)}",
        f"needs about {byte_size(need)} (checkpoints: {detail.en}{more_en}), {byte_size(free)} free",
    )
    room = Bilingual(
        "清理磁盘、换盘，或减小 checkpoint_config.max_keep_ckpts",
        "free space, take another disk, or lower checkpoint_config.max_keep_ckpts",
    )
    if free < need:
        return error("disk", what, place, room)
    # Some file systems have no fixed number of files and say 0.
    if 0 < inodes < _FREE_INODES + depths + frames:
        files = Bilingual(
            f"最多还能创建 {inodes} 个文件（inode 不足）",
            f"only {inodes} more files can be created (inode limit)",
        )
        return error(
            "disk", files, place, Bilingual("删除小文件或换盘", "delete small files, or take another disk")
        )
    if free < 2 * need:
        return warning("disk", what, place, room)
    return ok("disk", what, place)
