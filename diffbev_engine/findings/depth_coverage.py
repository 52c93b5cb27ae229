"""Depth ground truth on disk: how many images of a split have it, at the size at which they are loaded.

Every judgement of missing depth asks here: check-depth, preflight, the start of training, evaluation.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.cameras import camera_rank
from diffbev_engine.core.npz import open_npz
from diffbev_engine.core.regular_file import open_regular

_CAMERAS_SHOWN = 6
_UNKNOWN = "?"


@dataclass(frozen=True)
class DepthCoverage:
    """What there is for the images of one split."""

    directory: Path
    wanted: tuple[int, int] | None
    """(height, width) at which images are loaded; ``None`` where that is not known."""
    sizes: tuple[tuple[int, int], ...]
    """Sizes of the files, as far as some of them were opened."""
    images: Mapping[str, tuple[int, int]]
    """By camera: images with a depth file, all images."""
    first_missing: str = ""
    """The name of a file that does not exist."""

    @property
    def total(self) -> int:
        """All images."""
        return sum(total for _, total in self.images.values())

    @property
    def present(self) -> int:
        """Images with a depth file, of whatever size."""
        return sum(present for present, _ in self.images.values())

    @property
    def wrong_size(self) -> tuple[int, int] | None:
        """A size on disk at which nothing can be loaded."""
        return next((size for size in self.sizes if self.wanted and size != self.wanted), None)

    @property
    def complete(self) -> bool:
        """True when every image has depth of the right size."""
        return self.present == self.total and self.wrong_size is None

    def describe(self) -> Bilingual:
        """``60 of 72 images have no depth; none for CAM_BACK, …``; the wrong size where that is the fault."""
        if self.wrong_size and self.wanted:
            there, wanted = ("{}x{}".format(*size) for size in (self.wrong_size, self.wanted))
            return Bilingual(
                f"深度真值的尺寸不对：文件为 {there}，图像按 {wanted} 加载（高 x 宽）",
                f"depth has the wrong size: files are {there}, images load at {wanted} (height x width)",
            )
        missing = self.total - self.present
        if not missing:
            return Bilingual(f"{self.total} 张图像都有深度真值", f"depth for all {self.total} images")
        zh = f"{missing}/{self.total} 张图像没有深度真值"
        en = f"{missing} of {self.total} images have no depth"
        none = [camera for camera, (present, _) in self.images.items() if not present and camera != _UNKNOWN]
        part = [
            f"{camera} {present}/{total}"
            for camera, (present, total) in self.images.items()
            if 0 < present < total and camera != _UNKNOWN
        ]
        if none and self.present:
            zh += f"；缺少 {_some(none)}"
            en += f"; none for {_some(none)}"
        if part and len(self.images) > 1:
            zh += f"；不完整：{_some(part)}"
            en += f"; incomplete: {_some(part)}"
        return Bilingual(zh, en)

    def remedy(self, nuscenes_root: str = "DIR") -> str:
        """The command that creates what is missing, or replaces what has the wrong size."""
        size = f" --height {self.wanted[0]} --width {self.wanted[1]}" if self.wanted else ""
        replace = " --overwrite" if self.wrong_size else ""
        return f"diffbev-engine prepare-depth --nuscenes-root {nuscenes_root}{size}{replace}"


def depth_coverage(
    directory: Path, cameras: Mapping[str, str | None], wanted: tuple[int, int] | None
) -> DepthCoverage:
    """Count the depth files of a split; only names are listed, and the headers of three files read.

    Args:
        directory: ``ann_bev_dir/<split>_depth``.
        cameras: camera of every image by token, None where it is not known.
        wanted: (height, width) at which images are loaded; ``None`` to accept any.
    """
    names = frozenset(os.listdir(directory)) if directory.is_dir() else frozenset()  # noqa: PTH208 - 140,000
    there = sorted(token for token in cameras if f"{token}.npz" in names)
    missing = min(cameras.keys() - there, default="")
    totals = Counter(camera or _UNKNOWN for camera in cameras.values())
    present = Counter(cameras[token] or _UNKNOWN for token in there)
    opened = {there[0], there[len(there) // 2], there[-1]} if there else set()
    sizes = {size for token in opened if (size := _size_of(directory / f"{token}.npz"))}
    return DepthCoverage(
        directory=directory,
        wanted=wanted,
        sizes=tuple(sorted(sizes)),
        images={camera: (present[camera], totals[camera]) for camera in sorted(totals, key=camera_rank)},
        first_missing=f"{missing}.npz" if missing else "",
    )


def _size_of(path: Path) -> tuple[int, int] | None:
    """Height and width from the header of a depth file; None for one that the loader will name as damaged."""
    try:
        with open_regular(path) as file, open_npz(file) as arrays:
            shape, _ = arrays.header("depth")
    except (OSError, ValueError):
        return None
    return (shape[0], shape[1]) if len(shape) == 2 else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:_CAMERAS_SHOWN]) + (" …" if len(names) > _CAMERAS_SHOWN else "")
