import pytest
import torch

from diffbev_engine.models.flops import count_flops
from diffbev_engine.models.model import build_model
from diffbev_engine.models.settings import (
    BackboneSettings,
    DiffusionSettings,
    FusionSettings,
    HeadSettings,
    LiftSettings,
    ModelSettings,
)


@pytest.mark.slow
def test_default_model_needs_145_gflop_forward_and_434_to_train():
    model = build_model(ModelSettings(backbone=BackboneSettings(pretrained=None)), (600, 800))
    flops = count_flops(model, (600, 800))
    assert flops.forward / 1e9 == pytest.approx(144.8, abs=0.1)
    assert flops.training / 1e9 == pytest.approx(434.1, abs=0.5)


def test_counting_leaves_the_model_as_it_was():
    settings = ModelSettings(
        backbone=BackboneSettings(name="resnet10t", pretrained=None),
        lift=LiftSettings(channels=16),
        head=HeadSettings(planes=(16, 16), blocks=1),
    )
    model = build_model(settings, (64, 96))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    count_flops(model, (64, 96))
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_diffbev_costs_two_passes_through_the_unet_in_training_and_one_a_step_in_evaluation():
    def flops(**method):
        settings = ModelSettings(
            backbone=BackboneSettings(name="resnet10t", pretrained=None),
            lift=LiftSettings(channels=16),
            head=HeadSettings(planes=(16, 16), blocks=1),
            **method,
        )
        return count_flops(build_model(settings, (64, 96)), (64, 96))

    def diffusion(steps: int):
        small = {"widths": (16, 16, 16), "groups": 4, "fusion": FusionSettings(type="add")}
        return {"diffusion": DiffusionSettings(steps=steps, **small)}

    one, three = flops(**diffusion(1)), flops(**diffusion(3))
    unet = (three.forward - one.forward) / 2
    assert one.training == three.training
    # Forward and backward of two samples, the task's and that of Ldiff, is about six forward passes.
    assert one.training - flops().training > 5.5 * unet
    assert one.forward - flops().forward > unet  # besides condition and fusion


def test_one_convolution_counts_two_operations_a_multiplication():
    class Convolution(torch.nn.Conv2d):
        diffusion = None

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
            return (super().forward(inputs[0]),)

    flops = count_flops(Convolution(3, 8, 1, bias=False), (10, 20))
    assert flops.forward == 2 * 3 * 8 * 200
    assert flops.training == 2 * flops.forward  # the images need no gradient
