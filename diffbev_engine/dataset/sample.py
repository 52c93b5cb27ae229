"""From files to tensors: one sample, and a batch of them.

Dimension letters: B batch, H W image rows and columns, Z X BEV rows and columns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.image_header import LARGEST_IMAGE
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.dataset.frame_cache import Frame, frame_path, read_frame, source_stamp, write_frame
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.prepare.depth import read_depth
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT, read_label
from diffbev_engine.prepare.image_file import decode_image


@dataclass(frozen=True)
class Sample:
    """One image and its labels, small enough to cross processes cheaply."""

    token: str
    image: Tensor
    """(H, W, 3) uint8 RGB."""
    intrinsics: Tensor
    """(3, 3) float32, for this image size."""
    label: Tensor
    """(Z, X) int32: the bits of the label PNG, row 0 nearest."""
    known: Tensor
    """(14,) bool: classes that were annotated here."""
    depth: Tensor | None = None
    """(H, W) float32 metres, 0 where there is no point."""


@dataclass(frozen=True)
class Batch:
    """Samples stacked along a leading batch dimension."""

    tokens: tuple[str, ...]
    images: Tensor
    """(B, 3, H, W) uint8 RGB."""
    intrinsics: Tensor
    """(B, 3, 3) float32."""
    label: Tensor
    """(B, Z, X) int32."""
    known: Tensor
    """(B, 14) bool."""
    depth: Tensor | None
    """(B, H, W) float32 metres, 0 where there is no point."""

    def classes(self) -> Tensor:
        """The class planes, (B, 14, Z, X) bool."""
        bits = torch.arange(NUM_CLASSES, device=self.label.device, dtype=torch.int32)
        return ((self.label[:, None] >> bits[:, None, None]) & 1).bool()  # B x 14 x Z x X

    def valid(self, mask: str) -> Tensor:
        """Cells that are not ignored under the ``pon`` or the ``fov`` mask, (B, Z, X) bool.

        ``unseen``: those that ``fov`` has and ``pon`` has not, as LiDAR does not see them.
        """
        if mask == "unseen":
            return self.valid("fov") & ~self.valid("pon")
        bit = {"pon": IGNORE_BIT, "fov": IGNORE_FOV_BIT}[mask]
        return ((self.label >> bit) & 1) == 0  # B x Z x X

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return self.map(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``, copied asynchronously."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with ``change`` made to each of its tensors."""
        parts = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {name: change(x) for name, x in parts.items() if isinstance(x, Tensor)}
        return replace(self, **changed)


def load_sample(
    record: SampleRecord,
    image_size: tuple[int, int],
    *,
    with_depth: bool = False,
    cache: Path | None = None,
) -> Sample:
    """Read one sample; the image is resized to ``image_size`` (H, W) and the intrinsics with it.

    Args:
        record: which one.
        image_size: (height, width) that the network takes.
        with_depth: read the LiDAR depth too.
        cache: folder of resized images; what it lacks is put there.

    Raises:
        DiffBEVError: naming the damaged file.
    """
    frame = _frame(record, image_size, cache)
    intrinsics = network_intrinsics(record.intrinsics, record.size or frame.size, image_size)
    label = read_label(record.label).astype(np.int32)
    return Sample(
        token=record.token,
        image=torch.from_numpy(frame.image),
        intrinsics=torch.from_numpy(intrinsics),
        label=torch.from_numpy(label),
        known=torch.from_numpy(record.known),
        depth=torch.from_numpy(_read_depth(record, image_size)) if with_depth else None,
    )


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch."""
    depths = [sample.depth for sample in samples if sample.depth is not None]
    images = torch.stack([sample.image for sample in samples])  # B x H x W x 3
    return Batch(
        tokens=tuple(sample.token for sample in samples),
        images=images.permute(0, 3, 1, 2),  # B x 3 x H x W, channels innermost in memory
        intrinsics=torch.stack([sample.intrinsics for sample in samples]),
        label=torch.stack([sample.label for sample in samples]),
        known=torch.stack([sample.known for sample in samples]),
        depth=torch.stack(depths) if depths else None,
    )


def network_input(
    image: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int] | None, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """An image and its camera as the network takes them.

    Args:
        image: (H, W, 3) uint8.
        intrinsics: (3, 3), for an image of ``size``.
        size: width and height; images that were made smaller to save disk keep the intrinsics of the
            original. ``None``: those of ``image``.
        image_size: (height, width) that the network takes.

    Returns:
        The resized image, uint8, and its intrinsics (3, 3) float32.
    """
    own_width, own_height = size or image.shape[1::-1]
    return _resized(image, image_size), network_intrinsics(intrinsics, (own_width, own_height), image_size)


def network_intrinsics(
    intrinsics: np.ndarray, size: tuple[int, int], image_size: tuple[int, int]
) -> np.ndarray:
    """(3, 3) float32 for the image of ``network_input``, from those of one of ``size`` (width, height)."""
    height, width = image_size
    return (np.diag([width / size[0], height / size[1], 1.0]) @ intrinsics).astype(np.float32)


def _frame(record: SampleRecord, image_size: tuple[int, int], cache: Path | None) -> Frame:
    stamp = source_stamp(record.image) if cache else None
    if not cache or not stamp:
        return _decoded(record, image_size)
    path = frame_path(cache, record.token, image_size)
    frame = read_frame(path, stamp, image_size)
    if frame is None:
        frame = _decoded(record, image_size)
        write_frame(path, stamp, frame)
    return frame


def _decoded(record: SampleRecord, image_size: tuple[int, int]) -> Frame:
    bgr = _read_image(record)
    image = cv2.cvtColor(_resized(bgr, image_size), cv2.COLOR_BGR2RGB)
    return Frame(image, (bgr.shape[1], bgr.shape[0]))


def _resized(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, image_size[::-1], interpolation=cv2.INTER_LINEAR)


def _read_image(record: SampleRecord) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    try:
        return decode_image(read_bounded(record.image, LARGEST_IMAGE))
    except OSError as error:
        raise DiffBEVError(
            f"cannot read {record.image} (sample {record.token}): {error.strerror or error}."
        ) from error
    except ValueError as error:
        raise DiffBEVError(
            f"{record.image} {error} (sample {record.token}). Restore the original file, "
            "then run `diffbev-engine prepare` again."
        ) from error


def _read_depth(record: SampleRecord, image_size: tuple[int, int]) -> np.ndarray:
    """Sparse depth (H, W); a sample without a file has no points, it is not an error."""
    if not os.path.lexists(record.depth):
        return np.zeros(image_size, np.float32)
    return read_depth(record.depth, image_size)
