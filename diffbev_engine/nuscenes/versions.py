"""The version directories below a nuScenes root: which there are, and which one is meant.

Imports nothing heavy.
"""

import os
from pathlib import Path

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import did_you_mean
from diffbev_engine.core.regular_file import read_bounded

_PROOF = ("sample_data", "sample", "scene", "ego_pose", "sample_annotation")
"""Tables that show that a directory holds nuScenes tables, damaged or incomplete ones too."""
_NO_ROWS_BYTES = 64
RUNBOOK_VERSION = "v1.0-trainval"
"""The version that the runbook's commands name."""


def versions_in(nuscenes_root: Path) -> list[str]:
    """Names of the directories below ``nuscenes_root`` that hold tables, sorted."""
    return sorted({path.parent.name for table in _PROOF for path in nuscenes_root.glob(f"*/{table}.json")})


def is_annotated(folder: Path) -> bool:
    """False where ``sample_annotation.json`` is a table without rows, as v1.0-test ships it."""
    path = folder / "sample_annotation.json"
    try:
        if path.stat().st_size > _NO_ROWS_BYTES:
            return True
        return b"".join(read_bounded(path, _NO_ROWS_BYTES).split()) != b"[]"
    except OSError:  # missing tables are reported when they are read
        return True


def find_version(nuscenes_root: Path, version: str | None = None) -> str:
    """Name of the version directory below ``nuscenes_root``.

    Args:
        nuscenes_root: the directory that holds ``samples`` and ``v1.0-...``.
        version: a name, or a path to the directory as tab completion leaves it; None takes the
            only version that has annotations.

    Raises:
        UsageError: no such root or version, or several versions and none chosen.
    """
    if not nuscenes_root.is_dir():
        raise UsageError(
            f"no nuScenes root {nuscenes_root}: give the directory that holds samples and v1.0-..."
            f"{did_you_mean(nuscenes_root)}"
        )
    found = versions_in(nuscenes_root)
    if version is not None:
        return _chosen(nuscenes_root, version, found)
    if not found and (nuscenes_root / "sample_data.json").is_file():
        raise UsageError(f"{nuscenes_root} is a directory of tables: give its parent, {nuscenes_root.parent}")
    if not found:
        raise UsageError(
            f"no nuScenes tables in {nuscenes_root}: extract a metadata archive there, so that it holds a "
            f"directory such as v1.0-mini or v1.0-trainval with sample_data.json"
        )
    usable = [name for name in found if is_annotated(nuscenes_root / name)] or found
    if len(usable) > 1:
        raise UsageError(f"{nuscenes_root} holds {', '.join(usable)}: choose one with --version")
    return usable[0]


def require_annotations(nuscenes_root: Path, version: str) -> None:
    """Refuse tables without any box: labels made from them would call every cell free.

    Raises:
        UsageError: naming the version and those that can be used instead.
    """
    if is_annotated(nuscenes_root / version):
        return
    others = [name for name in versions_in(nuscenes_root) if is_annotated(nuscenes_root / name)]
    instead = f"Use --version {others[0]}" if others else "Use the tables of v1.0-trainval or v1.0-mini"
    raise UsageError(
        f"{version} in {nuscenes_root} has no annotations (sample_annotation.json is empty, as in the "
        f"official test set), so no labels can be made from it. {instead}."
    )


def _chosen(nuscenes_root: Path, version: str, found: list[str]) -> str:
    """The directory that ``version`` means: a name, or a path to it from here or from the root."""
    name = os.path.basename(os.path.normpath(version))  # noqa: PTH119 - "a/", "./a", "/root/a"
    # Names as they are listed: where case does not matter, "V1.0-Mini" exists but has no official split.
    children = {child.name for child in nuscenes_root.iterdir() if child.is_dir()}
    if name in children and _is_below(nuscenes_root, version):
        return name
    there = f"it holds {', '.join(found)}" if found else "it holds no tables at all"
    twin = next((other for other in found if name.lower() in (other.lower(), other.lower()[5:])), None)
    hint = f". Did you mean {twin}?" if twin else ""
    if found and not hint and not any(is_annotated(nuscenes_root / other) for other in found):
        hint = " without annotations. Extract the tables of v1.0-trainval or v1.0-mini"
    raise UsageError(f"no version {version!r} in nuScenes root {nuscenes_root}: {there}{hint}")


def _is_below(nuscenes_root: Path, version: str) -> bool:
    """Whether the path ``version`` leads directly below the root, seen from the root or from here."""
    paths = (Path(os.path.normpath(base / version)) for base in (nuscenes_root, Path.cwd()))
    return any(_same(path.parent, nuscenes_root) for path in paths)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
