"""The run that is planned, and what is in its data root; each is read once, when first asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.cameras import includes
from diffbev_engine.findings.depth_coverage import DepthCoverage, depth_coverage
from diffbev_engine.findings.finding import NotLooked
from diffbev_engine.prepare.data_root import SPLITS, DataRoot, Files, IndexEntry
from diffbev_engine.runs.folder import RunFolder


@dataclass(frozen=True)
class SplitFiles:
    """Tokens of one split, by what there is of them."""

    images: Files
    labels: Files
    depths: frozenset[str]


class Plan:
    """What a run would use; nothing is changed."""

    def __init__(
        self,
        settings: Settings,
        config: str,
        work_dir: Path,
        gpu_ids: Sequence[int] = (),
        *,
        resuming: bool = False,
    ) -> None:
        self.settings = settings
        self.config = config
        self.folder = RunFolder(work_dir)
        self.gpu_ids = tuple(gpu_ids)
        self.resuming = resuming
        self.root = DataRoot(settings.data_root)

    @property
    def processes(self) -> int:
        """Training processes on this machine: one per GPU."""
        return max(1, len(self.gpu_ids))

    @cached_property
    def files(self) -> dict[str, SplitFiles]:
        """Files by split; only names are read."""
        self.require_data()
        return {split: self._list(split) for split in SPLITS}

    @cached_property
    def index(self) -> list[IndexEntry]:
        """``index.jsonl``; empty without one."""
        self.require_data()
        return self.root.read_index()

    @cached_property
    def calibration(self) -> dict[str, list[list[float]]]:
        """``calib.json``; empty without one."""
        self.require_data()
        return self.root.read_calib()

    @cached_property
    def _entries(self) -> dict[str, dict[str, IndexEntry]]:
        found: dict[str, dict[str, IndexEntry]] = {split: {} for split in SPLITS}
        for entry in self.index:
            if entry.split in found and includes(self.settings.data.cameras, entry.camera):
                found[entry.split][entry.token] = entry
        return found

    def entries(self, split: str) -> dict[str, IndexEntry]:
        """Entries of a split that training would use, by token."""
        return self._entries[split]

    @cached_property
    def _used(self) -> dict[str, set[str]]:
        images = {split: self.files[split].images.keys() for split in SPLITS}
        return {
            split: images[split] & self.entries(split).keys() if self.index else set(images[split])
            for split in SPLITS
        }

    def used(self, split: str) -> set[str]:
        """Tokens of the images that would be loaded: those in the index, where there is one."""
        return self._used[split]

    def depth_dir(self, split: str) -> Path:
        """Where the depth ground truth of a split belongs."""
        return self.root.depth_dir(split)

    @cached_property
    def _coverage(self) -> dict[str, DepthCoverage]:
        size = self.settings.data.image_size
        found = {}
        for split in SPLITS:
            entries = self.entries(split)
            cameras = {
                token: entries[token].camera if token in entries else None for token in self.used(split)
            }
            found[split] = depth_coverage(self.depth_dir(split), cameras, size)
        return found

    def depth_coverage(self, split: str) -> DepthCoverage:
        """Depth ground truth of the images that would be loaded."""
        return self._coverage[split]

    def require_data(self) -> None:
        """Leave a check that makes no sense without data.

        Raises:
            NotLooked: there is no data root with images.
        """
        if not (self.root.root / "img_dir").is_dir():
            raise NotLooked(
                Bilingual(f"没有数据目录 {self.root.root}", f"there is no data in {self.root.root}")
            )

    def _list(self, split: str) -> SplitFiles:
        depths = frozenset(self.root.depths(split))
        return SplitFiles(self.root.images(split), self.root.labels(split), depths)
