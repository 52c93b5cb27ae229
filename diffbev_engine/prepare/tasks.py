"""What is left to do of a preparation, for many frames."""

from collections.abc import Iterator, Mapping

import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.nuscenes.maps import MapLayers
from diffbev_engine.nuscenes.tables import Frames
from diffbev_engine.prepare.data_root import SPLITS, DataRoot
from diffbev_engine.prepare.missing import SourceFiles, source_paths
from diffbev_engine.prepare.summary import Failures
from diffbev_engine.prepare.workers import FrameTask


class Tasks:
    """What is missing of many frames; a task is made when its turn comes."""

    def __init__(
        self, frames: Frames, sides: Mapping[str, str], needs_label: np.ndarray, needs_image: np.ndarray
    ) -> None:
        self.frames = frames
        self._sides = sides
        self._needs_label, self._needs_image = needs_label, needs_image

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[FrameTask]:
        needs = zip(self._needs_label.tolist(), self._needs_image.tolist(), strict=True)
        for frame, (label, image) in zip(self.frames, needs, strict=True):
            yield FrameTask(frame, self._sides[frame.scene], label, image)

    def take(self, which: np.ndarray) -> "Tasks":
        """Those at some positions, or where a mask is true."""
        label, image = self._needs_label[which], self._needs_image[which]
        return Tasks(self.frames.take(which), self._sides, label, image)

    @property
    def images_to_place(self) -> Frames:
        """The frames whose image is missing."""
        return self.frames.take(self._needs_image)

    def by_location(self) -> "Tasks":
        """The same, location by location, and the frames of a sample together."""
        keys = [(frame.location, frame.sample_token) for frame in self.frames]
        places = sorted({location for location, _ in keys})
        samples: dict[str, int] = {}
        numbers = np.array(
            [(samples.setdefault(sample, len(samples)), places.index(place)) for place, sample in keys]
        )
        return self.take(np.lexsort(numbers.reshape(-1, 2).T))


def foreseen_failures(tasks: Tasks, maps: Mapping[str, MapLayers | DiffBEVError]) -> tuple[Failures, Tasks]:
    """What cannot be prepared, before hours of work: no map of its location, or files that do not exist.

    The tasks are those that remain.
    """
    failures, files, possible = Failures(), SourceFiles(), np.ones(len(tasks), bool)
    for number, task in enumerate(tasks):
        if isinstance(problem := maps[task.frame.location], DiffBEVError):
            failures.add(str(problem), task.frame.token)
            possible[number] = False
        elif lost := files.missing(source_paths(task.frame) if task.needs_label else [task.frame.image_path]):
            failures.missing[task.frame.token] = lost
            possible[number] = False
    return failures, tasks.take(possible)


def missing_of(root: DataRoot, frames: Frames, sides: Mapping[str, str], overwrite: bool) -> Tasks:
    """What each frame lacks; writes are atomic, so a file that is there is whole."""
    labels = {split: root.labels(split) for split in SPLITS}
    images = {split: root.images(split) for split in SPLITS}
    needs = np.zeros((2, len(frames)), bool)
    for number, frame in enumerate(frames):
        split = sides[frame.scene]
        needs[:, number] = overwrite or frame.token not in labels[split], frame.token not in images[split]
    return Tasks(frames, sides, *needs).take(needs.any(axis=0))
