"""Which cameras a network was trained with, and whether another one is like them.

The lift knows the intrinsics of an image, but how far things are is told from how large they look, which the
network learnt with its own cameras: through another focal length, they look nearer or farther.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffbev_engine.dataset.records import SampleRecord, SampleRecords
from diffbev_engine.prepare.image_file import image_size

_NAMES = ("fx", "fy", "cx", "cy")
_IN_WORDS = {
    "fx": "focal length over width",
    "fy": "focal length over height",
    "cx": "principal point over width",
    "cy": "principal point over height",
}
_MARGINS = {"fx": 0.05, "fy": 0.05, "cx": 0.03, "cy": 0.03}
"""Focal lengths may be so much outside as a share of themselves, principal points as a share of the image."""


@dataclass(frozen=True)
class CameraRanges:
    """Smallest and largest focal lengths and principal points, as shares of the image's width or height."""

    ranges: dict[str, tuple[float, float]]
    """By ``fx``, ``fy``, ``cx``, ``cy``; empty where they are not known."""

    @classmethod
    def of(cls, records: Sequence[SampleRecord]) -> "CameraRanges":
        """Those of all images.

        Raises:
            DiffBEVError: an image of a camera whose size nobody recorded cannot be read.
        """
        some = records.one_of_each_camera() if isinstance(records, SampleRecords) else records
        shares = np.array(
            [_shares(record.intrinsics, record.size or image_size(record.image)) for record in some]
        )
        lowest, highest = shares.min(axis=0).tolist(), shares.max(axis=0).tolist()
        return cls(dict(zip(_NAMES, zip(lowest, highest, strict=True), strict=True)))

    @classmethod
    def from_plain(cls, content: Any) -> "CameraRanges":
        """What ``to_plain`` made; unknown for anything else."""
        try:
            ranges = {name: (float(content[name][0]), float(content[name][1])) for name in _NAMES}
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            return cls({})
        return cls(ranges if all(map(math.isfinite, np.ravel(list(ranges.values())))) else {})

    def to_plain(self) -> dict[str, list[float]]:
        """Plain values for a checkpoint."""
        return {name: list(pair) for name, pair in self.ranges.items()}

    def difference(self, intrinsics: np.ndarray, size: tuple[int, int]) -> str:
        """How a camera differs from all of these, in one sentence; empty if it does not, or none is known.

        Args:
            intrinsics: (3, 3) pixels.
            size: width and height of its images.
        """
        outside = []
        for (name, (low, high)), share in zip(self.ranges.items(), _shares(intrinsics, size), strict=False):
            relative = name in ("fx", "fy")
            margin = _MARGINS[name]
            lowest, highest = (
                (low * (1 - margin), high * (1 + margin)) if relative else (low - margin, high + margin)
            )
            if not lowest <= share <= highest:
                known = f"{low:.2f}" if round(low, 2) == round(high, 2) else f"{low:.2f} to {high:.2f}"
                outside.append(f"{_IN_WORDS[name]} is {share:.2f}, in training {known}")
        if not outside:
            return ""
        return f"the camera is unlike those of training ({'; '.join(outside)}): expect wrong distances"


def _shares(intrinsics: np.ndarray, size: tuple[int, int]) -> list[float]:
    width, height = size
    return [
        float(intrinsics[0, 0]) / width,
        float(intrinsics[1, 1]) / height,
        float(intrinsics[0, 2]) / width,
        float(intrinsics[1, 2]) / height,
    ]
