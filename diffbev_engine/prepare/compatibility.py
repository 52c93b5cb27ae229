"""Check that a data root's existing labels match the current settings."""

from collections.abc import Mapping, Set

import msgspec

from diffbev_engine.core.cameras import camera_rank
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.prepare.data_root import SPLITS, DataRoot, PrepareRecord

_NAMED_SPLITS = ("pon", "official")


def check_same_settings(root: DataRoot, wanted: PrepareRecord) -> None:
    """Refuse to mix labels of different settings; other cameras and more scenes are welcome.

    Raises:
        UsageError: naming each setting that differs and what to do.
    """
    differences = _differences(root, wanted)
    if differences:
        raise UsageError(
            f"{root.root} already holds labels, and {'; '.join(differences)}. "
            "Choose another --output-dir, or --overwrite to replace them."
        )


def forget_earlier_labels(root: DataRoot, wanted: PrepareRecord, tokens: Mapping[str, Set[str]]) -> int:
    """Remove labels of other settings with their registers, and what is now on the wrong side of the split.

    With the same settings nothing is removed: labels are then replaced one by one.

    Args:
        root: the data root.
        wanted: the new settings.
        tokens: of each part of the split, all images of its scenes.

    Returns:
        Depth files removed, whose images are now in the other part.
    """
    if not _differences(root, wanted):
        return 0
    try:
        return _remove_labels(root, tokens)
    except OSError as error:
        raise DiffBEVError(f"cannot replace the labels of {root.root}: {error}") from error


def _remove_labels(root: DataRoot, tokens: Mapping[str, Set[str]]) -> int:
    for split in SPLITS:
        for label in root.labels(split).values():
            label.unlink()
    for register in (root.index_path, root.calib_path, root.record_path):
        register.unlink(missing_ok=True)
    depth_files = 0
    for split, other in (SPLITS, SPLITS[::-1]):
        moved = tokens[other]
        for token, path in root.images(split).items():
            if token in moved:
                path.unlink()
        for token, path in root.depths(split).items():
            if token in moved:
                path.unlink()
                depth_files += 1
    return depth_files


def merged_record(previous: PrepareRecord | None, wanted: PrepareRecord) -> PrepareRecord:
    """The record of earlier runs with cameras and scenes of this one added."""
    if previous is None:
        return wanted
    cameras = {*previous.cameras, *wanted.cameras}
    scenes = dict(sorted({**previous.scenes, **wanted.scenes}.items()))
    named = wanted.split in _NAMED_SPLITS
    return msgspec.structs.replace(
        wanted,
        cameras=tuple(sorted(cameras, key=camera_rank)),
        scenes=scenes,
        split=wanted.split if named else ",".join(f"{scene}={side}" for scene, side in scenes.items()),
        map_version=previous.map_version,
        images=previous.images,
        image_sizes={**previous.image_sizes, **wanted.image_sizes},
    )


def _differences(root: DataRoot, wanted: PrepareRecord) -> list[str]:
    """One clause for each setting in which labels on disk differ from ``wanted``."""
    if not any(root.labels(split) for split in SPLITS):
        return []
    previous = root.read_record()
    if previous is None:
        return [f"without {root.record_path.name} nobody can tell how they were made"]
    differences = [
        f"their {name} is {getattr(previous, name)}, not {getattr(wanted, name)}"
        for name in ("version", "raster")
        if getattr(previous, name) != getattr(wanted, name)
    ]
    return differences + _split_differences(previous, wanted)


def _split_differences(previous: PrepareRecord, wanted: PrepareRecord) -> list[str]:
    """Spelled-out splits may add scenes; a named split is never mixed with another."""
    moved = [scene for scene, side in wanted.scenes.items() if previous.scenes.get(scene, side) != side]
    named = previous.split in _NAMED_SPLITS or wanted.split in _NAMED_SPLITS
    if moved and not named:
        scene = moved[0]
        more = f" (and {len(moved) - 1} more scenes)" if len(moved) > 1 else ""
        return [f"their split has {scene} in {previous.scenes[scene]}, not in {wanted.scenes[scene]}{more}"]
    if named and previous.split != wanted.split:
        return [f"their split is {previous.split}, not {wanted.split}"]
    return []
