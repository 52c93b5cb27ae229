"""Which scene belongs to training and which to validation.

A split is named ``pon`` (the default of published BEV results), ``official``, or spelled
out scene by scene: ``scene-0523=train,scene-0916=val``.  Scenes in neither part are left
out.  The splits differ widely (116 of PON's 148 val scenes are official train), so
numbers of one must never be compared with numbers of the other.
"""

import difflib
from collections.abc import Collection, Mapping

from diffbev_engine.core.errors import UsageError
from diffbev_engine.nuscenes import split_scenes as lists

SIDES = ("train", "val")


def resolve_split(spec: str, scenes: Collection[str], version: str) -> dict[str, str]:
    """Assign ``scenes`` to ``train`` or ``val``.

    Args:
        spec: ``pon``, ``official``, or ``<scene>=train|val`` items separated by commas.
        scenes: names of the scenes that exist.
        version: name of the table directory; mini has separate official lists.

    Returns:
        Scene name to side, in the order of ``scenes``; scenes in neither are missing.  A side
        may be empty: see `explain_empty_side`.

    Raises:
        UsageError: an unknown split, a malformed item, an unknown or contradictory scene.
    """
    if spec == "pon":
        train, val = lists.PON_TRAIN, lists.PON_VAL
    elif spec == "official" and "mini" in version:
        train, val = lists.OFFICIAL_MINI_TRAIN, lists.OFFICIAL_MINI_VAL
    elif spec == "official":
        train, val = lists.OFFICIAL_TRAIN, lists.OFFICIAL_VAL
    else:
        chosen = _parse_explicit(spec, scenes)
        return {scene: chosen[scene] for scene in scenes if scene in chosen}
    return {scene: "train" if scene in train else "val" for scene in scenes if scene in train | val}


def explain_empty_side(spec: str, scenes: Collection[str], assignment: Mapping[str, str]) -> str | None:
    """One sentence when train or val got no scene, with a split that would work; else None."""
    empty = [side for side in SIDES if side not in assignment.values()]
    if not empty:
        return None
    names = sorted(scenes)
    count = list(assignment.values()).count
    found = ", ".join(f"{count(side)} in {side}" for side in SIDES if side not in empty)
    message = (
        f"split {spec!r} leaves {' and '.join(empty)} empty: of {len(names)} scene(s) found, "
        f"{found or 'none is in either list'}."
    )
    if len(names) < 2:
        return f"{message} One scene cannot be both train and val: add scenes."
    example = f"{names[0]}=train,{names[1]}=val"
    return f"{message} Name the scenes yourself, for example --split {example}"


def _parse_explicit(spec: str, scenes: Collection[str]) -> dict[str, str]:
    if "=" not in spec:
        raise UsageError(
            f"unknown split {spec!r}: choose pon, official, or scenes such as scene-0523=train,scene-0916=val"
        )
    chosen: dict[str, str] = {}
    for item in spec.split(","):
        scene, equals, side = (part.strip() for part in item.partition("="))
        if not (scene and equals) or side not in SIDES:
            raise UsageError(f"split item {item.strip()!r} is not <scene>=train or <scene>=val (in {spec!r})")
        if scene not in scenes:
            raise UsageError(f"split names {scene!r}, which these tables do not have. {_hint(scene, scenes)}")
        if chosen.setdefault(scene, side) != side:
            raise UsageError(f"split puts {scene!r} in both train and val (in {spec!r})")
    return chosen


def _hint(scene: str, scenes: Collection[str]) -> str:
    near = difflib.get_close_matches(scene, scenes, n=3) or sorted(scenes)[:3]
    more = f" (of {len(scenes)})" if len(scenes) > len(near) else ""
    return f"Nearest scenes: {', '.join(near)}{more}"
