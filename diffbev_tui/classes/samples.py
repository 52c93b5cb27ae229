"""Pictures of samples that ``visualize`` and ``diagnose`` drew: what each shows, the worst first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.png_text import png_text
from diffbev_engine.core.state_file import Count, Share, convert

_METADATA = "DiffBEV"
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of width and height."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Part:
    """One panel of a picture."""

    kind: str
    """``camera``, ``truth``, ``prediction``, its ``spread`` over samples, or ``whole`` for a picture that
    does not name what it shows."""
    box: Box
    name: str = ""
    """Of the model."""
    checkpoint: Path | None = None
    iteration: int | None = None
    miou: float | None = None
    classes: int = 0
    """Over which the mIoU is taken: those that this sample shows."""
    samples: int = 0
    """Over which the spread is taken."""


@dataclass(frozen=True)
class Sample:
    """A picture of one sample."""

    path: Path
    written: float
    size: tuple[int, int]
    """Pixels."""
    parts: tuple[Part, ...]
    place: str = ""
    """Camera and scene."""

    @property
    def predictions(self) -> tuple[Part, ...]:
        """What models say."""
        return tuple(part for part in self.parts if part.kind == "prediction")

    def shows(self, run: Path) -> bool:
        """Whether a checkpoint of the run predicted it."""
        return any(part.checkpoint and part.checkpoint.parent == run for part in self.predictions)

    def score(self, run: Path) -> float:
        """The mIoU of the run shown, else of the worst model; infinite where nothing is to be scored."""
        mine = [part for part in self.predictions if part.checkpoint and part.checkpoint.parent == run]
        scores = [part.miou for part in mine or self.predictions if part.miou is not None]
        return min(scores, default=float("inf"))

    def ratio(self, part: Part) -> float:
        """Width by height of a part."""
        left, top, right, bottom = part.box
        return (right - left) * self.size[0] / ((bottom - top) * self.size[1])


@dataclass(frozen=True)
class _Prediction:
    box: tuple[float, ...]
    name: str
    checkpoint: str
    iteration: Count
    mIoU: Share | None
    classes: Count
    spread_box: tuple[float, ...] | None = None
    samples: Count = 0


@dataclass(frozen=True)
class _Picture:
    """What ``visualize`` writes into a picture."""

    camera_box: tuple[float, ...]
    truth_box: tuple[float, ...]
    predictions: tuple[_Prediction, ...]
    camera: str | None = None
    scene: str | None = None


def find_samples(workspace: Path, run: Path) -> tuple[Sample, ...]:
    """Pictures in the workspace: those of the run first, of them the worst; then the others alike."""
    paths = sorted((workspace / "runs").glob("**/vis/sample_*.png"))
    samples = [sample for path in paths if (sample := read_sample(path)) is not None]
    return tuple(sorted(samples, key=lambda one: (not one.shows(run), one.score(run), one.path)))


def read_sample(path: Path) -> Sample | None:
    """What a picture shows; ``None`` where it is none, or is gone."""
    try:
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=512)
def _read(path: Path, changed_ns: int, _size: int) -> Sample:
    size, words = png_text(path, _METADATA)
    if not words:
        return Sample(path, changed_ns / 1e9, size, (Part("whole", WHOLE),))
    about = _about(words)
    if about is None:
        raise ValueError(f"{path}: damaged metadata")
    place = plain(" ".join(word for word in (about.camera, about.scene) if word))
    return Sample(path, changed_ns / 1e9, size, _parts(about), place)


def _about(words: str) -> _Picture | None:
    try:
        return convert(json.loads(words), _Picture)
    except (ValueError, RecursionError):
        return None


def _parts(about: _Picture) -> tuple[Part, ...]:
    parts = [Part("camera", _box(about.camera_box)), Part("truth", _box(about.truth_box))]
    for one in about.predictions:
        name, checkpoint = plain(one.name), _resolved(one.checkpoint)
        box, iteration = _box(one.box), one.iteration
        parts.append(Part("prediction", box, name, checkpoint, iteration, one.mIoU, one.classes))
        if one.spread_box is not None:
            parts.append(Part("spread", _box(one.spread_box), name, samples=one.samples))
    return tuple(parts)


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # a circle of links
        raise ValueError(f"{path}: {error}") from error


def _box(sides: Sequence[float]) -> Box:
    left, top, right, bottom = (float(side) for side in sides)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"no box: {sides}")
    return left, top, right, bottom
