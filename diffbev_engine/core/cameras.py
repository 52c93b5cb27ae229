"""Which cameras are meant: ``front``, ``all`` or a list of channels, in the same words everywhere."""

import difflib

from diffbev_engine.core.classes import CAMERAS

FRONT, ALL = "front", "all"
WORDS = "front, all, or channels separated by commas, e.g. CAM_FRONT,CAM_BACK"


def standard_cameras(value: object) -> str:
    """``front``, ``all`` or channels joined by commas, in the usual order, from any way to write them.

    Case does not matter and ``CAM_`` may be skipped; ``CAM_FRONT`` alone is ``front``.

    Raises:
        ValueError: no camera, or an unknown one; the message names the nearest.
    """
    if not isinstance(value, str | list | tuple):
        raise ValueError(f"expected {WORDS}, not {value!r}")
    words = value.split(",") if isinstance(value, str) else [str(word) for word in value]
    words = [word.strip() for word in words if word.strip()]
    if not words:
        raise ValueError(f"no camera chosen: give {WORDS}")
    if any(word.lower() == ALL for word in words):
        return ALL
    channels = {_channel(word) for word in words}
    if channels == {CAMERAS[0]}:
        return FRONT
    return ",".join(sorted(channels, key=camera_rank))


def channels_of(cameras: str) -> tuple[str, ...] | None:
    """The channels of a standard choice; None for all that there are."""
    if cameras == ALL:
        return None
    return (CAMERAS[0],) if cameras == FRONT else tuple(cameras.split(","))


def includes(cameras: str, channel: str) -> bool:
    """Whether a standard choice takes the images of ``channel``."""
    channels = channels_of(cameras)
    return channels is None or channel in channels


def _channel(word: str) -> str:
    known = {channel.lower().removeprefix("cam_"): channel for channel in CAMERAS}
    short = word.lower().removeprefix("cam_")
    if short in known:
        return known[short]
    if word.upper() == word and word.startswith("CAM_"):  # of another rig: the tables decide
        return word
    near = difflib.get_close_matches(short, known, n=1)
    hint = f" Did you mean {known[near[0]]}?" if near else ""
    raise ValueError(f"unknown camera {word!r}: give {WORDS}.{hint}")


def camera_rank(channel: str) -> tuple[int, str]:
    """Sorts channels: the six of nuScenes clockwise from the front, then others by name."""
    return (CAMERAS.index(channel) if channel in CAMERAS else len(CAMERAS), channel)
