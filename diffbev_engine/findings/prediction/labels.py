"""Label statistics; broken files are recorded instead of raising."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.progress import track
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.findings.prediction.fov_consistency import View, view_of
from diffbev_engine.findings.prediction.lidar_consistency import Sight, sight_of
from diffbev_engine.prepare.depth import read_depth
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT, read_label
from diffbev_engine.prepare.fov import Camera
from diffbev_engine.prepare.image_file import image_size, read_image

_CLASS_BITS = (1 << NUM_CLASSES) - 1
_VALUES = np.arange(1 << 16)
CROWDED = 6
"""Classes on one cell that no scene has; 255, a common ignore value of other formats, would be eight."""
_COUNT_OF_CLASSES = np.array([bin(value & _CLASS_BITS).count("1") for value in _VALUES])


@dataclass
class LabelSurvey:
    """Counts over the labels of a sample."""

    images: int = 0
    """Labels that were checked."""
    eight_bit: list[str] = field(default_factory=list)
    """Tokens whose PNG holds 8 bits."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Tokens whose label cannot be used for another reason, and the reason."""
    readable: list[SampleRecord] = field(default_factory=list)
    """Samples whose label a model can be scored on."""
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    """(65536,) cells of each value."""
    views: list[View] = field(default_factory=list)
    """Of the labels and images that allow it."""
    sights: list[Sight] = field(default_factory=list)
    """Of the labels whose image has depth."""

    @property
    def cells(self) -> int:
        """Cells of all readable labels."""
        return int(self.histogram.sum())

    def bit(self, number: int) -> float:
        """Share of cells with bit ``number`` set."""
        return self._share((_VALUES >> number & 1) == 1)

    @property
    def visible(self) -> float:
        """Share of cells that bit 14 shows."""
        return 1 - self.bit(IGNORE_BIT)

    @property
    def contradictory(self) -> float:
        """Share of cells that bit 15 hides and bit 14 shows; no writer makes them."""
        return self._share((_VALUES >> IGNORE_BIT) == 1 << (IGNORE_FOV_BIT - IGNORE_BIT))

    @property
    def crowded(self) -> float:
        """Share of cells with ``CROWDED`` classes or more."""
        return self._share(_COUNT_OF_CLASSES >= CROWDED)

    @property
    def highest(self) -> int:
        """The highest value that occurs."""
        there = np.flatnonzero(self.histogram)
        return int(there[-1]) if len(there) else 0

    def mean_separation(self) -> dict[str, float]:
        """Mean over the views, by hypothesis; see ``View.separation``."""
        names = self.views[0].separation if self.views else {}
        return {name: float(np.mean([view.separation[name] for view in self.views])) for name in names}

    def mean_sight(self, name: Literal["plain", "mirrored"]) -> float | None:
        """Mean correlation of what labels and LiDAR see; ``None`` without depth. See ``Sight``."""
        return float(np.mean([getattr(sight, name) for sight in self.sights])) if self.sights else None

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "images": self.images,
            "eight_bit": self.eight_bit,
            "unreadable": self.unreadable,
            "bit_shares": [self.bit(number) for number in range(16)],
            "visible": self.visible,
            "contradictory_share": self.contradictory,
            "crowded_share": self.crowded,
            "highest_value": self.highest,
            "view_separation": self.mean_separation(),
            "sight": {
                "images": len(self.sights),
                "plain": self.mean_sight("plain"),
                "mirrored": self.mean_sight("mirrored"),
            },
            "views": [
                {
                    "token": view.camera.token,
                    "fx": view.camera.fx,
                    "fx_of_label": view.fx,
                    "cx": float(view.camera.intrinsics[0, 2]),
                    "cx_of_label": view.cx,
                    "fits": view.fits_its_camera,
                }
                for view in self.views
            ],
        }

    def _share(self, wanted: np.ndarray) -> float:
        return float(self.histogram[wanted].sum()) / self.cells if self.cells else 0.0


def survey_labels(records: Sequence[SampleRecord]) -> LabelSurvey:
    """Read the labels of ``records``, and the sizes of their images."""
    survey = LabelSurvey(images=len(records))
    for record in track(records, total=len(records), what="labels"):
        try:
            label = read_label(record.label)
        except DiffBEVError as error:
            _note_unreadable(survey, record, error)
            continue
        survey.readable.append(record)
        survey.histogram += np.bincount(label.ravel(), minlength=1 << 16)
        size = record.size or _stored_size(record)
        if size is not None:  # a damaged image stops the model's part, with its own message
            width, height = size
            camera = Camera(record.token, record.intrinsics, width, height)
            view = view_of(label, camera)
            survey.views += [view] if view else []
            depth = _read_depth(record)
            sight = None if depth is None else sight_of(label, camera, depth)
            survey.sights += [sight] if sight else []
    return survey


def _read_depth(record: SampleRecord) -> np.ndarray | None:
    """(H, W) metres, 0 where there is no point; ``None`` without a file that can be read."""
    try:
        return read_depth(record.depth)
    except DiffBEVError:  # it is no part of the labels: training names it
        return None


def _stored_size(record: SampleRecord) -> tuple[int, int] | None:
    try:
        return image_size(record.image)
    except DiffBEVError:
        return None


def _note_unreadable(survey: LabelSurvey, record: SampleRecord, error: DiffBEVError) -> None:
    try:
        eight_bit = read_image(record.label, cv2.IMREAD_UNCHANGED).dtype == np.uint8
    except DiffBEVError:
        eight_bit = False
    if eight_bit:
        survey.eight_bit.append(record.token)
    else:
        survey.unreadable[record.token] = str(error)
