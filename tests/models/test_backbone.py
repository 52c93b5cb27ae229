from collections.abc import Iterator

import pytest
import timm.layers
import torch
from timm.models.swin_transformer import WindowAttention

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.backbone import Backbone
from diffbev_engine.models.settings import BackboneSettings

SWIN = "swin_tiny_patch4_window7_224"


def backbone(name: str, size: tuple[int, int], stage: int = -1, *, whole_strides: bool = False) -> Backbone:
    settings = BackboneSettings(name=name, pretrained=None, out_stage=stage)
    return Backbone(settings, size, whole_strides=whole_strides).eval()


@torch.inference_mode()
def features(network: Backbone, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return network(torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture
def attention_flags() -> Iterator[None]:
    """Restore timm's process-wide choice of attention."""
    usual, experimental = timm.layers.use_fused_attn(), timm.layers.use_fused_attn(experimental=True)
    yield
    timm.layers.set_fused_attn(usual, experimental=experimental)


@pytest.mark.slow
def test_swin_at_the_published_size_gives_768_x_19_x_25():
    network = backbone(SWIN, (600, 800))
    assert features(network, (600, 800)).shape == (1, 768, 19, 25)
    assert (network.channels, network.stride) == (768, 32)
    assert sum(p.numel() for p in network.parameters()) == 27_519_354


@pytest.mark.parametrize(
    ("name", "size", "channels", "rows_and_cols"),
    [
        (SWIN, (90, 130), 768, (3, 4)),  # timm leaves out a last patch that is not whole
        ("resnet10t", (90, 130), 512, (3, 5)),
        ("tf_efficientnet_lite0", (90, 130), 320, (3, 5)),
        ("convnext_atto", (90, 130), 320, (2, 4)),
        ("vit_tiny_patch16_224", (90, 130), 192, (5, 8)),
        ("dla34", (90, 130), 512, (3, 5)),  # adds features of unequal size unless padded
    ],
)
def test_any_network_takes_any_size_and_returns_contiguous_nchw(name, size, channels, rows_and_cols):
    network = backbone(name, size)
    output = features(network, size)
    assert output.shape == (1, channels, *rows_and_cols)
    assert output.is_contiguous()
    assert network.channels == channels
    # The lift crops to whole strides, so there must be at least those.
    assert all(n >= s // network.stride for n, s in zip(rows_and_cols, size, strict=True))


@pytest.mark.parametrize("name", [SWIN, "resnet10t", "convnext_atto"])
def test_whole_strides_leave_no_pixel_uncovered(name):
    network = backbone(name, (90, 130), whole_strides=True)
    assert features(network, (90, 130)).shape[-2:] == (3, 5)


def test_earlier_stages_can_be_lifted():
    network = backbone("resnet10t", (96, 128), stage=3)
    assert (network.channels, network.stride) == (256, 16)
    assert features(network, (96, 128)).shape == (1, 256, 6, 8)


def test_swin_features_are_normalised_and_conv_features_are_not():
    output = features(backbone(SWIN, (96, 96)), (96, 96))
    torch.testing.assert_close(output.mean(dim=1), torch.zeros(1, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.var(dim=1, correction=0), torch.ones(1, 3, 3), atol=1e-3, rtol=0)
    assert not list(backbone("resnet10t", (96, 96)).norm.parameters())


def test_stochastic_depth_is_off_in_training():
    network = backbone(SWIN, (96, 96)).train()
    images = torch.randn(1, 3, 96, 96)
    assert torch.equal(network(images), network(images))


@pytest.mark.usefixtures("attention_flags")
def test_fused_attention_is_on_and_agrees_with_the_explicit_one():
    fused = backbone(SWIN, (64, 256))  # the last stage has shifted windows and padding
    timm.layers.set_fused_attn(False)
    explicit = backbone(SWIN, (64, 256))
    assert {m.fused_attn for m in fused.modules() if isinstance(m, WindowAttention)} == {True}
    assert {m.fused_attn for m in explicit.modules() if isinstance(m, WindowAttention)} == {False}
    explicit.load_state_dict(fused.state_dict())
    torch.testing.assert_close(
        features(fused, (64, 256)), features(explicit, (64, 256)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.usefixtures("attention_flags")
def test_choice_of_attention_does_not_leak_to_other_networks():
    timm.layers.set_fused_attn(True, experimental=False)
    backbone("resnet10t", (64, 64))
    assert not timm.layers.use_fused_attn(experimental=True)


def test_normalisation_is_the_one_of_the_network():
    imagenet = backbone("resnet10t", (64, 64))
    assert imagenet.pixel_mean == pytest.approx((123.675, 116.28, 103.53))
    assert imagenet.pixel_std == pytest.approx((58.395, 57.12, 57.375))
    lite = backbone("tf_efficientnet_lite0", (64, 64))
    assert lite.pixel_mean == lite.pixel_std == pytest.approx((127.5, 127.5, 127.5))


def test_unknown_network_suggests_near_names():
    with pytest.raises(UsageError, match=r"no model 'resnet10x'.*resnet1"):
        backbone("resnet10x", (64, 64))


def test_stage_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"model\.backbone\.out_stage=9"):
        backbone("resnet10t", (64, 64), stage=9)
