"""A batch of random numbers, for what depends on the sizes of a batch alone: speed, memory, compiling."""

from dataclasses import replace

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT

_POINT_SHARE = 0.005  # pixels with a LiDAR point: what prepare-depth finds in nuScenes


def random_batch(settings: Settings, device: torch.device) -> Batch:
    """A batch of random numbers in the types and layouts of the loader, on ``device``."""
    generator = torch.Generator().manual_seed(0)
    size, (height, width) = settings.data.samples_per_gpu, settings.data.image_size
    images = torch.randint(0, 256, (size, height, width, 3), generator=generator, dtype=torch.uint8)
    label = torch.randint(0, 2**NUM_CLASSES, (size, *LABEL_GRID.shape), generator=generator)
    hidden = torch.rand(label.shape, generator=generator) < 0.5  # of a nuScenes label, about half
    outside = hidden & (torch.rand(label.shape, generator=generator) < 0.5)
    label |= (hidden.long() << IGNORE_BIT) | (outside.long() << IGNORE_FOV_BIT)
    focal = 0.79 * width  # nuScenes' front camera
    intrinsics = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    batch = Batch(
        tokens=tuple(f"{number:032x}" for number in range(size)),
        images=images.permute(0, 3, 1, 2),
        intrinsics=intrinsics.repeat(size, 1, 1),
        label=label.int(),
        known=torch.ones(size, NUM_CLASSES, dtype=torch.bool),
        depth=None,
    )
    if settings.data.load_depth:
        points = torch.rand(size, height, width, generator=generator) < _POINT_SHARE
        metres = 1 + 49 * torch.rand(size, height, width, generator=generator)
        batch = replace(batch, depth=torch.where(points, metres, 0.0))
    return batch.to(device)
