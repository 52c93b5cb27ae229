"""Random batches are like those of the loader."""

import torch

from diffbev_engine.train.random_batch import random_batch

CPU = torch.device("cpu")


def test_a_random_batch_has_the_types_of_the_loader(diffusion_settings):
    values = diffusion_settings.model_dump()
    values["data"]["load_depth"] = True
    settings = type(diffusion_settings).model_validate(values)
    size = settings.data.samples_per_gpu
    batch = random_batch(settings, CPU)

    assert (batch.images.shape, batch.images.dtype) == ((size, 3, 64, 96), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.label.shape, batch.label.dtype) == ((size, 196, 200), torch.int32)
    assert batch.depth.shape == (size, 64, 96)
    assert 0.002 < (batch.depth > 0).float().mean() < 0.01
    assert 0.4 < batch.valid("pon").float().mean() < 0.6
    assert 0 < batch.classes().float().mean() < 1
    assert random_batch(diffusion_settings, CPU).depth is None
