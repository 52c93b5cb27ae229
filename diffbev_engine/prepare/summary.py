"""What a preparation did: counts, failures grouped by reason, and their text."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffbev_engine.findings.finding import some
from diffbev_engine.nuscenes.maps import MapLayers
from diffbev_engine.nuscenes.tables import CameraFrame
from diffbev_engine.prepare.data_root import SPLITS, PrepareRecord, write_register
from diffbev_engine.prepare.missing import describe_missing, source_paths

_LINES_SHOWN = 20


@dataclass(frozen=True)
class Failure:
    """One reason, and the images it keeps out."""

    reason: str
    tokens: tuple[str, ...]
    missing: bool = False
    """Files of nuScenes do not exist; else they exist and cannot be used."""

    def __str__(self) -> str:
        return self.reason if len(self.tokens) == 1 else f"{self.reason} [{len(self.tokens)} images]"


class Failures:
    """Collects failures, grouped by reason (missing map, truncated sweep)."""

    def __init__(self) -> None:
        self.missing: dict[str, list[Path]] = {}
        """Files that do not exist, by the token of the image that needs them."""
        self._by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, token: str) -> None:
        """Record that an image is skipped."""
        self._by_reason.setdefault(reason, []).append(token)

    @property
    def tokens(self) -> set[str]:
        """All images that are skipped."""
        return {token for tokens in self._by_reason.values() for token in tokens} | self.missing.keys()

    def grouped(self) -> tuple[Failure, ...]:
        """One `Failure` per reason in order of appearance, without missing files."""
        return tuple(Failure(reason, tuple(tokens)) for reason, tokens in self._by_reason.items())

    def grouped_missing(self, frames: Iterable[CameraFrame], version: str) -> tuple[Failure, ...]:
        """One `Failure` per scene or archive that lacks files; ``frames`` are all that were asked for."""
        if not self.missing:
            return ()
        wanted: dict[str, set[Path]] = defaultdict(set)
        lost: dict[str, set[Path]] = defaultdict(set)
        tokens: dict[str, list[str]] = defaultdict(list)
        for frame in frames:
            wanted[frame.scene].update(source_paths(frame))
            if frame.token in self.missing:
                lost[frame.scene].update(self.missing[frame.token])
                tokens[frame.scene].append(frame.token)
        lines = describe_missing(lost, wanted, version)
        return tuple(
            Failure(line, tuple(token for scene in scenes for token in tokens[scene]), missing=True)
            for line, scenes in lines.items()
        )


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
    skipped: tuple[Failure, ...] = ()
    """Images skipped on purpose, because their files do not exist."""
    note: str | None = None
    """What to do when train or val stayed empty."""
    notes: tuple[str, ...] = ()
    """What the user should know though nothing failed."""
    maps: Mapping[str, MapLayers] = field(default_factory=dict)
    """Of the locations in this run, as far as they could be loaded."""
    unannotated: tuple[str, ...] = ()
    """Scenes without a single box: object classes are unknown there."""
    seconds: float = 0.0

    @property
    def failed_images(self) -> int:
        """Images that could not be prepared."""
        return _images(self.failed)

    @property
    def unlabelled(self) -> dict[str, tuple[str, ...]]:
        """Classes without annotation, for each location that lacks some."""
        return {place: found.unlabelled for place, found in self.maps.items() if found.unlabelled}

    @property
    def skipped_polygons(self) -> dict[str, int]:
        """Number of invalid map polygons, for each location that has some."""
        return {place: found.skipped for place, found in self.maps.items() if found.skipped}

    def to_text(self) -> str:
        """Plain lines for a terminal or a log."""
        lines = [f"skipped: {each}" for each in self.skipped]
        lines += [f"failed: {failure}" for failure in self.failed[:_LINES_SHOWN]]
        if len(self.failed) > _LINES_SHOWN:
            lines.append(
                f"failed: {len(self.failed) - _LINES_SHOWN} more, see {failures_path(self.output_dir)}"
            )
        if any(failure.missing for failure in self.failed):
            lines.append(
                "Extract the missing archives and run the same command again, or add --skip-missing to "
                "continue with the files that exist."
            )
        for place, classes in self.unlabelled.items():
            lacks = self.maps[place].missing
            why = f" (the file has no layer {', '.join(lacks)}; v1.3 has)" if lacks else ""
            lines.append(
                f"map {place} has no annotations for {', '.join(classes)}{why}: ignored there, not "
                f"counted as negative"
            )
        if self.unannotated:
            many = f"{len(self.unannotated)} scenes have" if len(self.unannotated) > 1 else "1 scene has"
            lines.append(
                f"{many} no annotated box ({some(self.unannotated)}): object classes are ignored there, not "
                f"counted as negative"
            )
        for place, count in self.skipped_polygons.items():
            lines.append(f"map {place}: {count} invalid polygon(s) skipped")
        lines += [f"note: {note}" for note in (*self.notes, *([self.note] if self.note else []))]
        rate = f", {self.written / self.seconds:.0f} images/s" if self.written and self.seconds else ""
        skipped = f", {_images(self.skipped)} skipped" if self.skipped else ""
        lines.append(
            f"{self.written} images prepared, {self.kept} already present, {self.failed_images} failed"
            f"{skipped} ({self.seconds:.1f} s{rate})"
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
            "skipped": dict(self.record.skipped),
            "images": dict(self.record.images),
            "note": self.note,
            "notes": list(self.notes),
            "raster": self.record.raster,
            "version": self.record.version,
            "map_version": self.record.map_version,
            "unlabelled": {place: list(classes) for place, classes in self.unlabelled.items()},
            "unannotated": list(self.unannotated),
            "skipped_polygons": self.skipped_polygons,
            "seconds": round(self.seconds, 3),
        }


def _images(failures: Iterable[Failure]) -> int:
    return sum(len(failure.tokens) for failure in failures)


def failures_path(output_dir: Path) -> Path:
    """All failures of the last run, one per line; absent when there were none."""
    return output_dir / "prepare_failed.txt"


def write_failures(output_dir: Path, failed: Sequence[Failure]) -> None:
    """Replace the list of failures by that of this run."""
    path = failures_path(output_dir)
    if failed:
        lines = [f"{failure}: {' '.join(failure.tokens)}\n" for failure in failed]
        write_register(path, "".join(lines).encode())
    else:
        path.unlink(missing_ok=True)
