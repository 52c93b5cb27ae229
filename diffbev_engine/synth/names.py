"""Names and tokens of a synthetic world: stable, and drawn from the real scene numbers.

Scene names decide the split: the PON validation list of Roddick and Cipolla (CVPR 2020)
holds 148 of the 850 nuScenes trainval scenes.  The first names of either list belong to
nuScenes mini, so that a small world splits like mini.
"""

import hashlib
import zlib

import numpy as np

LOCATIONS = ("boston-seaport", "singapore-onenorth", "singapore-queenstown", "singapore-hollandvillage")
"""The four maps that nuscenes-devkit accepts."""

_MINI_TRAIN = (61, 103, 553, 655, 916, 1077, 1094, 1100)
_MINI_VAL = (757, 796)
# Enough of either PON list for the largest world; the rest of the numbers is not needed here.
_MORE_TRAIN = (
    "12-19 21-36 42-52 55-60 62-76 92-102 104-110 123-135 149-151 161-168 170-183 190-196 206-214 224-264 "
    "270-278 283-306"
)
_MORE_VAL = "38 41 53-54 121-122 139 152 160 184 269 347-348 366 368-369 378 389-398 411-419 525-539 541-546"
_VAL_SHARE = 0.22


def scene_names(count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (training, validation) scene names of a world of ``count`` scenes.

    From two scenes on there is at least one of each; about a fifth is for validation.
    """
    val_count = 0 if count < 2 else max(1, round(_VAL_SHARE * count))
    train = [*_MINI_TRAIN, *_expand(_MORE_TRAIN)][: count - val_count]
    val = [*_MINI_VAL, *_expand(_MORE_VAL)][:val_count]
    return tuple(map(_scene_name, train)), tuple(map(_scene_name, val))


def token(seed: int, *parts: object) -> str:
    """Return a 32-digit hexadecimal token that depends only on ``seed`` and ``parts``."""
    text = "/".join(map(str, ("synth", seed, *parts)))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def generator(seed: int, scene: str, purpose: str) -> np.random.Generator:
    """Return a random stream of its own for one purpose of one scene.

    Separate streams keep, say, the traffic unchanged when the painting draws one number more.
    """
    return np.random.default_rng([seed, zlib.crc32(scene.encode()), zlib.crc32(purpose.encode())])


def _expand(ranges: str) -> list[int]:
    numbers: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def _scene_name(number: int) -> str:
    return f"scene-{number:04d}"
