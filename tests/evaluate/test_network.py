"""An evaluation runs the network plainly, whatever training compiled in it."""

import torch

from diffbev_engine.evaluate.network import evaluated
from diffbev_engine.models.model import build_model
from diffbev_engine.models.regions import regions
from diffbev_engine.train.random_batch import random_batch

CPU = torch.device("cpu")


def test_nothing_that_is_compiled_for_training_is_used(diffusion_settings):
    torch._dynamo.reset()
    model = build_model(diffusion_settings.model, diffusion_settings.data.image_size).eval()
    compiled = []

    def compiler(graph, _inputs):
        compiled.append(graph)
        return graph

    for region in regions(model):
        region.compile(dynamic=False, backend=compiler)
    batch = random_batch(diffusion_settings, CPU)
    with torch.inference_mode():
        plain = evaluated(model, diffusion_settings, CPU)(batch)
        assert not compiled
        fast = evaluated(model, diffusion_settings, CPU, compiled=True)(batch)
    assert compiled
    torch.testing.assert_close(plain.logits, fast.logits)
