"""The whole network: shapes, sizes, compilation, and that it can learn one sample."""

import numpy as np
import pytest
import torch
from torch import Tensor

from diffbev_engine.core.classes import CLASS_PRIORS
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.models.losses import SegmentationLoss
from diffbev_engine.models.model import BEVModel, build_model
from diffbev_engine.models.settings import BackboneSettings, HeadSettings, LiftSettings, ModelSettings

SIZE = (96, 160)
INTRINSICS = torch.tensor([[[120.0, 0, 79.5], [0, 120.0, 47.5], [0, 0, 1]]])


def tiny_settings(mode: str = "aligned", backbone: str = "resnet10t") -> ModelSettings:
    return ModelSettings(
        backbone=BackboneSettings(name=backbone, pretrained=None),
        lift=LiftSettings(mode=mode, channels=32),
        bev_encoder=True,
        head=HeadSettings(planes=(16, 16), blocks=1, groups=8),
    )


def random_inputs(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    images = torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
    return images, INTRINSICS.expand(batch, 3, 3)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.slow
def test_default_model_has_the_published_size_and_shapes():
    settings = ModelSettings(backbone=BackboneSettings(pretrained=None))
    model = build_model(settings, (600, 800)).eval()
    assert num_parameters(model) == 29_631_993
    intrinsics = torch.tensor([[[633.0, 0, 408], [0, 844.0, 328], [0, 0, 1]]])
    with torch.inference_mode():
        logits, depth_logits, *_ = model(torch.randn(1, 3, 600, 800), intrinsics)
    assert logits.shape == (1, 14, 196, 200)
    assert depth_logits.shape == (1, 49, 18, 25)
    torch.testing.assert_close(logits[0, :, 7, 9].sigmoid(), torch.tensor(CLASS_PRIORS))


@pytest.mark.parametrize(("mode", "depth_shape"), [("upstream", (49, 3, 4)), ("aligned", (98, 4, 5))])
def test_any_image_size_works_in_both_modes(mode: str, depth_shape: tuple[int, int, int]):
    model = build_model(tiny_settings(mode), (100, 150)).eval()
    logits, depth_logits, *_ = model(torch.randn(2, 3, 100, 150), INTRINSICS.expand(2, 3, 3))
    assert logits.shape == (2, 14, 196, 200)
    assert depth_logits.shape == (2, *depth_shape)


def test_images_of_another_size_are_refused():
    model = build_model(tiny_settings(), SIZE)
    with pytest.raises(ValueError, match=r"images are \(64, 64\), the model is for \(96, 160\)"):
        model(torch.randn(1, 3, 64, 64), INTRINSICS)


def test_an_oracle_splats_features_where_lidar_finds_them():
    settings = tiny_settings()
    settings = settings.model_copy(update={"lift": settings.lift.model_copy(update={"oracle": True})})
    torch.manual_seed(0)
    model = build_model(settings, SIZE).eval()
    images, intrinsics = random_inputs(1)
    seen = {}
    model.lift.splat = lambda depth, *_: seen.update(depth=depth) or torch.zeros(1, 32, 98, 100)
    metres = torch.zeros(1, *SIZE)
    metres[0, 40, 50] = 20.2
    model(images, intrinsics, depth=metres)
    rows, cols = model.lift.feature_size
    row, col = 40 // model.backbone.stride, 50 // model.backbone.stride
    there = seen["depth"][0, :, row, col]
    assert there.sum() == there.max() == 1
    assert abs(model.lift.depths[there.argmax()] - 20.2) < 0.5
    others = seen["depth"][0].max(dim=0).values
    assert (others == 1).sum() == 1 < rows * cols
    with pytest.raises(UsageError, match="oracle"):
        model(images, intrinsics)


def test_bev_encoder_is_part_of_the_model_only_when_asked_for():
    with_encoder = build_model(tiny_settings(), SIZE)
    without = build_model(tiny_settings().model_copy(update={"bev_encoder": False}), SIZE)
    added = 2 * (32 * 32 * 9 + 2 * 32)  # two 3x3 convolutions with group norm
    assert num_parameters(with_encoder) - num_parameters(without) == added


def test_bev_encoder_groups_must_divide_the_channels():
    settings = tiny_settings().model_copy(update={"lift": LiftSettings(channels=20)})
    with pytest.raises(UsageError, match=r"groups=8 does not divide model\.lift\.channels=20"):
        build_model(settings, SIZE)


def test_pixel_statistics_are_broadcastable_and_not_saved():
    model = build_model(tiny_settings(), SIZE)
    assert model.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert model.pixel_mean.shape == model.pixel_std.shape == (1, 3, 1, 1)
    assert not any("pixel" in key or key.startswith("lift.u") for key in model.state_dict())


def test_state_dict_round_trip_gives_the_same_output():
    first, second = build_model(tiny_settings(), SIZE).eval(), build_model(tiny_settings(), SIZE).eval()
    torch.nn.init.normal_(first.head.classifier.weight)
    inputs = random_inputs(1)
    assert not torch.equal(first(*inputs).logits, second(*inputs).logits)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs).logits, second(*inputs).logits)


@pytest.mark.parametrize("backbone", ["resnet10t", "swin_tiny_patch4_window7_224"])
def test_every_parameter_takes_part(backbone: str):
    model = build_model(tiny_settings(backbone=backbone), SIZE)
    torch.nn.init.normal_(model.head.classifier.weight)
    model(*random_inputs(2)).logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_autocast_gives_about_the_same_logits():
    model = build_model(tiny_settings(), SIZE).eval()
    torch.nn.init.normal_(model.head.classifier.weight, std=0.1)
    inputs = random_inputs(1)
    with torch.inference_mode():
        exact = model(*inputs).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(*inputs).logits.float()
    assert (rounded - exact).abs().max() < 0.05 * exact.std() + 0.05 * exact.abs().max()


@pytest.mark.slow
def test_step_compiles_without_graph_breaks():
    torch._dynamo.reset()
    settings = tiny_settings(backbone="resnet10t")
    model, loss = build_model(settings, SIZE), SegmentationLoss(settings.loss)
    torch.nn.init.normal_(model.head.classifier.weight, std=0.1)
    labels = torch.rand(2, 14, 196, 200) < 0.1, torch.rand(2, 196, 200) < 0.6, torch.rand(2, 14) < 0.9

    def step(images: Tensor, intrinsics: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return loss(model(images, intrinsics).logits, *labels)

    inputs = random_inputs(2)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(*inputs)
    compiled.backward()
    torch.testing.assert_close(compiled, step(*inputs), rtol=1e-3, atol=1e-4)


def cells_in_view() -> Tensor:
    """(196, 200) bool: cells whose near left corner the camera sees."""
    x, z = np.meshgrid(LABEL_GRID.corners_x(), LABEL_GRID.corners_z())
    u = x / z * 120 + 79.5
    return torch.from_numpy((u >= 0) & (u < SIZE[1]))


def iou(model: BEVModel, inputs: tuple[Tensor, Tensor], classes: Tensor, valid: Tensor) -> Tensor:
    """Intersection over union of each class of one sample, (14,); 1 where it is absent from both."""
    predicted = (model(*inputs).logits > 0) & valid
    wanted = classes & valid
    union = (predicted | wanted).sum(dim=(0, 2, 3))
    return torch.where(union > 0, (predicted & wanted).sum(dim=(0, 2, 3)) / union, 1.0)


@pytest.mark.slow
def test_one_sample_can_be_learned_by_heart():
    torch.manual_seed(0)
    # Stride 8: coarser features leave gaps that so small a head cannot bridge.
    backbone = BackboneSettings(name="resnet10t", pretrained=None, out_stage=2)
    head = HeadSettings(planes=(16, 8), blocks=1, groups=8)
    settings = tiny_settings().model_copy(update={"backbone": backbone, "head": head})
    model, loss = build_model(settings, SIZE), SegmentationLoss(settings.loss)
    classes = torch.zeros(1, 14, 196, 200, dtype=torch.bool)
    classes[0, 0, :, 60:140] = True  # a road, and on it
    classes[0, 4, 60:90, 85:100] = True  # a car
    classes[0, 9, 36:42, 112:118] = True  # a pedestrian
    classes[0, 1, 100:120, 60:140] = True  # and a crossing
    valid, known = cells_in_view()[None], torch.ones(1, 14, dtype=torch.bool)
    inputs = random_inputs(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(70):
        optimizer.zero_grad()
        loss(model(*inputs).logits, classes, valid, known).backward()
        optimizer.step()
    assert iou(model, inputs, classes, valid).min() > 0.9
