"""What a preparation did: counts, failures grouped by reason, and their text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.nuscenes.maps import MapLayers
from diffbev_engine.prepare.data_root import SPLITS, PrepareRecord

_LINES_SHOWN = 20


@dataclass(frozen=True)
class Failure:
    """One reason, and the images it keeps out."""

    reason: str
    tokens: tuple[str, ...]

    def __str__(self) -> str:
        return self.reason if len(self.tokens) == 1 else f"{self.reason} [{len(self.tokens)} images]"


class Failures:
    """Collects failures, grouped by reason (missing map, truncated sweep)."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self._by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, token: str) -> None:
        """Note that an image is left out."""
        self.tokens.add(token)
        self._by_reason.setdefault(reason, []).append(token)

    def grouped(self) -> tuple[Failure, ...]:
        """One `Failure` a reason, in order of appearance."""
        return tuple(Failure(reason, tuple(tokens)) for reason, tokens in self._by_reason.items())


@dataclass(frozen=True)
class PrepareSummary:
    """What a run did; the caller exits with 1 when ``failed`` is not empty."""

    output_dir: Path
    record: PrepareRecord
    """As in ``prepare.json``; counts cover earlier runs too."""
    written: int
    """Images whose label or picture was made in this run."""
    kept: int
    """Images that were there already."""
    failed: tuple[Failure, ...]
    note: str | None = None
    """What to do when train or val stayed empty."""
    maps: Mapping[str, MapLayers] = field(default_factory=dict)
    """Of the locations in this run, as far as they could be loaded."""
    seconds: float = 0.0

    @property
    def failed_images(self) -> int:
        """Images left out."""
        return sum(len(failure.tokens) for failure in self.failed)

    @property
    def unlabelled(self) -> dict[str, tuple[str, ...]]:
        """Classes without annotation, for each location that lacks some."""
        return {place: found.unlabelled for place, found in self.maps.items() if found.unlabelled}

    @property
    def skipped_polygons(self) -> dict[str, int]:
        """Invalid map polygons left out, for each location that has some."""
        return {place: found.skipped for place, found in self.maps.items() if found.skipped}

    def to_text(self) -> str:
        """Plain lines for a terminal or a log."""
        lines = [f"failed: {failure}" for failure in self.failed[:_LINES_SHOWN]]
        if len(self.failed) > _LINES_SHOWN:
            lines.append(
                f"failed: {len(self.failed) - _LINES_SHOWN} more, see {failures_path(self.output_dir)}"
            )
        for place, classes in self.unlabelled.items():
            lines.append(
                f"map {place} has no annotations for {', '.join(classes)}: ignored there, not "
                f"counted as negative"
            )
        for place, count in self.skipped_polygons.items():
            lines.append(f"map {place}: {count} invalid polygon(s) skipped")
        if self.note:
            lines.append(f"note: {self.note}")
        rate = f", {self.written / self.seconds:.0f} images/s" if self.written and self.seconds else ""
        lines.append(
            f"{self.written} images prepared, {self.kept} already present, {self.failed_images} failed "
            f"({self.seconds:.1f} s{rate})"
        )
        counts = " and ".join(f"{self.record.images.get(split, 0)} {split}" for split in SPLITS)
        lines.append(f"{self.output_dir} holds {counts} images with {self.record.raster} labels")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The same for programs; plain JSON types."""
        return {
            "output_dir": str(self.output_dir),
            "written": self.written,
            "kept": self.kept,
            "failed": [{"reason": each.reason, "tokens": list(each.tokens)} for each in self.failed],
            "images": dict(self.record.images),
            "note": self.note,
            "raster": self.record.raster,
            "version": self.record.version,
            "map_version": self.record.map_version,
            "unlabelled": {place: list(classes) for place, classes in self.unlabelled.items()},
            "skipped_polygons": self.skipped_polygons,
            "seconds": round(self.seconds, 3),
        }


def failures_path(output_dir: Path) -> Path:
    """All failures of the last run, one a line; absent when there were none."""
    return output_dir / "prepare_failed.txt"
