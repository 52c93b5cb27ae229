"""Random generators whose draws are a pure function of integers, such as seed and iteration."""

import numpy as np
import torch


def seeded_generator(device: torch.device | str, *key: int) -> torch.Generator:
    """A generator on ``device`` for ``key``, non-negative integers; its seed is a hash of them."""
    # The CPU generator uses 32 bits of its seed only, so the integers are hashed, not packed.
    mixed = np.random.SeedSequence(key).generate_state(1)[0]
    return torch.Generator(device).manual_seed(int(mixed))
