"""Files of nuScenes that are not on disk: found by listing directories, reported per scene and archive."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.findings.finding import some
from diffbev_engine.nuscenes.split_scenes import OFFICIAL_SCENES
from diffbev_engine.nuscenes.tables import CameraFrame

_SCENES_SHOWN = 10
_SCENES_PER_ARCHIVE = 85
_DIRECTORIES_SHOWN = 2
Paths = Mapping[str, set[Path]]
"""Files by scene."""


class MissingFile(DiffBEVError):
    """A file of the nuScenes root does not exist; many of them are reported as one."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: No such file")
        self.path = path


class SourceFiles:
    """Which files of a nuScenes root exist; directories are listed once, no file is opened."""

    def __init__(self) -> None:
        self._names = cache(_names_in)

    def missing(self, paths: Iterable[Path]) -> list[Path]:
        """Those of ``paths`` that do not exist."""
        return [path for path in paths if path.name not in self._names(path.parent)]


def source_paths(frame: CameraFrame) -> list[Path]:
    """The image of a frame, and its sweep if it has one."""
    return [frame.image_path, *([frame.lidar.path] if frame.lidar else [])]


def describe_missing(missing: Paths, wanted: Paths, version: str) -> dict[str, list[str]]:
    """One line per scene, or one per archive where many scenes lack files.

    Args:
        missing: what does not exist.
        wanted: what was asked for.
        version: of the tables, which decides the names of the archives.

    Returns:
        The scenes behind each line.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for scene in sorted(missing):
        many = len(missing) > _SCENES_SHOWN
        groups[archive_of(scene, version) if many else scene].append(scene)
    return {_line(scenes, missing, wanted, version): scenes for scenes in groups.values()}


def missing_sweeps(
    frames: Iterable[CameraFrame], wanted: Iterable[CameraFrame], version: str
) -> tuple[set[str], list[str]]:
    """Tokens of those of ``wanted`` whose sweep does not exist, and a line per scene or archive.

    ``frames`` are all that were asked for, so that the lines can say "8 of 40".
    """
    files = SourceFiles()
    lost = {frame.token for frame in wanted if frame.lidar and files.missing([frame.lidar.path])}
    if not lost:
        return lost, []
    asked: dict[str, set[Path]] = defaultdict(set)
    missing: dict[str, set[Path]] = defaultdict(set)
    tokens: dict[str, list[str]] = defaultdict(list)
    for frame in frames:
        if frame.lidar:
            asked[frame.scene].add(frame.lidar.path)
            if frame.token in lost:
                missing[frame.scene].add(frame.lidar.path)
                tokens[frame.scene].append(frame.token)
    lines = []
    for line, scenes in describe_missing(missing, asked, version).items():
        without = [token for scene in scenes for token in tokens[scene]]
        lines.append(f"{line} (no depth for {len(without)} images: {some(without)})")
    return lost, lines


def archive_of(scene: str, version: str) -> str:
    """The archive of nuScenes that holds the files of a scene; empty where that is not known."""
    if scene not in OFFICIAL_SCENES or version not in ("v1.0-mini", "v1.0-trainval"):
        return ""
    number = OFFICIAL_SCENES.index(scene) // _SCENES_PER_ARCHIVE + 1
    return f"v1.0-trainval{number:02d}_blobs" if version == "v1.0-trainval" else version


def _line(scenes: list[str], missing: Paths, wanted: Paths, version: str) -> str:
    lost = {path for scene in scenes for path in missing[scene]}
    asked = {path for scene in scenes for path in wanted[scene]}
    parts = []
    for what, is_sweep in (("images", False), ("LiDAR sweeps", True)):
        of_kind = sorted(path for path in lost if (path.suffix == ".bin") is is_sweep)
        if of_kind:
            total = sum((path.suffix == ".bin") is is_sweep for path in asked)
            parts.append(f"{len(of_kind)} of {total} {what} missing ({_where(of_kind)})")
    name = scenes[0] if len(scenes) == 1 else f"{len(scenes)} scenes ({scenes[0]} to {scenes[-1]})"
    archive = archive_of(scenes[0], version)
    return f"{name}: {', '.join(parts)}{f', from {archive}' if archive else ''}"


def _where(paths: list[Path]) -> str:
    """The one file, or the directories of several."""
    if len(paths) == 1:
        return str(paths[0])
    counts = Counter(path.parent for path in paths)
    shown = [f"{each.parent.name}/{each.name}" for each, _ in counts.most_common(_DIRECTORIES_SHOWN)]
    return ", ".join(shown) + (" …" if len(counts) > _DIRECTORIES_SHOWN else "")


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names of 34,000 files
    except OSError:
        return frozenset()
