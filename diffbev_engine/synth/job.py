"""What a synthetic world is asked to be, and what came out."""

from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.core.errors import UsageError

VERSIONS = ("v1.0-mini", "v1.0-trainval")
MAX_SCENES = 240  # a location of 60 tiles is as large as the largest real map


@dataclass(frozen=True)
class SynthJob:
    """Settings of one synthetic world; everything but ``out`` and ``workers`` shapes its content."""

    out: Path
    """Folder of the world: becomes a nuScenes root."""
    version: str = "v1.0-mini"
    """Name of the table folder."""
    scenes: int = 8
    """Number of scenes; from two on, about a fifth belongs to the PON validation split."""
    samples_per_scene: int = 6
    """Key-frames a scene, 0.5 s apart."""
    seed: int = 0
    """The same seed gives the same bytes."""
    image_size: tuple[int, int] = (450, 800)
    """Height and width of the camera images in pixels."""
    workers: int = 1
    """Processes; scenes are spread over them."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UsageError: naming the setting and the values it may take.
        """
        height, width = self.image_size
        checks = (
            (self.version in VERSIONS, f"version is {self.version!r}: choose {' or '.join(VERSIONS)}"),
            (1 <= self.scenes <= MAX_SCENES, f"scenes is {self.scenes}: choose 1 to {MAX_SCENES}"),
            (
                1 <= self.samples_per_scene <= 60,
                f"samples per scene is {self.samples_per_scene}: choose 1 to 60 (30 s of driving)",
            ),
            (0 <= self.seed < 2**32, f"seed is {self.seed}: choose 0 to {2**32 - 1}"),
            (
                32 <= height <= 2160 and 32 <= width <= 3840,
                f"image size is {height}x{width} (height x width): choose between 32x32 and 2160x3840",
            ),
            (self.workers >= 1, f"workers is {self.workers}: choose at least 1"),
        )
        for passed, complaint in checks:
            if not passed:
                raise UsageError(f"cannot make a synthetic world: {complaint}.")

    def settings(self) -> dict[str, object]:
        """Return everything that shapes the content of the world, JSON-able."""
        values = asdict(self)
        del values["out"], values["workers"]
        values["image_size"] = list(self.image_size)
        return values


@dataclass(frozen=True)
class SynthSummary:
    """What a finished world holds."""

    root: Path
    """The nuScenes root."""
    version: str
    """Name of the table folder."""
    scenes: tuple[str, ...]
    """Scene names, in the order of the scene table."""
    val_scenes: tuple[str, ...]
    """Those of ``scenes`` that the PON split keeps for validation."""
    frames: int
    """Key-frames; each has one image and one LiDAR sweep."""
    annotations: int
    """Annotated boxes over all frames."""
    annotations_by_category: dict[str, int]
    """Boxes of each nuScenes category that occurs."""
    already_there: bool
    """True when a finished world with the same settings was found and nothing was written."""

    def to_text(self) -> str:
        """One line for a terminal or a log."""
        what = "was there already" if self.already_there else "written"
        return (
            f"{self.root} {what}: {len(self.scenes)} scenes ({len(self.val_scenes)} for validation), "
            f"{self.frames} frames, {self.annotations} boxes "
            f"of {len(self.annotations_by_category)} categories"
        )
