"""The image encoder: one feature stage of any timm backbone, at any image size.

Dimension letters: B batch, C channels, H W feature rows and columns.
"""

import copy
import difflib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers import DropPath, set_fused_attn, use_fused_attn
from torch import Tensor, nn

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.geometry import padded_size
from diffbev_engine.models.pretrained import load_weights
from diffbev_engine.models.settings import BackboneSettings
from diffbev_engine.models.window_attention import use_kernels

_MAX_GREY = 255.0


class Backbone(nn.Module):
    """One feature stage of a timm network, as contiguous NCHW.

    The Swin family (channels innermost) gets a layer norm on the returned stage, which timm
    leaves out of its features; stochastic depth is off.

    Args:
        settings: Which network, which stage, which weights.
        image_size: (height, width) of the images; networks with a fixed input size are built for it.
        whole_strides: Pad the images, bottom and right, to whole strides, so that the last
            features see whole patches.

    Attributes:
        channels: Channels of the features.
        stride: Pixels between neighbouring features.
        pixel_mean, pixel_std: Normalisation of RGB in 0–255 that the network's weights expect.

    Raises:
        UsageError: an unknown network or stage, or a network that cannot take this image size.
        DiffBEVError: pretrained weights that cannot be had or do not fit.
    """

    def __init__(
        self, settings: BackboneSettings, image_size: tuple[int, int], *, whole_strides: bool = False
    ) -> None:
        super().__init__()
        features, size = _build_features(settings, image_size, whole_strides)
        self.channels: int = features.feature_info.channels()[0]
        self.stride: int = features.feature_info.reduction()[0]
        self._padding = (0, size[1] - image_size[1], 0, size[0] - image_size[0])
        use_kernels(features)
        self.features = features
        self._channels_last = str(getattr(features, "output_fmt", "NCHW")).endswith("NHWC")
        self.norm = nn.LayerNorm(self.channels) if self._channels_last else nn.Identity()
        config = features.pretrained_cfg
        self.pixel_mean = tuple(_MAX_GREY * value for value in config["mean"])
        self.pixel_std = tuple(_MAX_GREY * value for value in config["std"])
        if settings.pretrained is not None:
            model_args = _model_args(settings.name, size)
            load_weights(features, self.norm, settings.name, settings.pretrained, model_args)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, height, width) to features (B, C, H, W)."""
        if any(self._padding):
            images = F.pad(images, self._padding)  # zero is the mean colour
        (features,) = self.features(images)
        features = self.norm(features)
        if self._channels_last:
            features = features.permute(0, 3, 1, 2)  # B x C x H x W
        return features.contiguous()

    def unfuse_attention(self) -> None:
        """Write attention out as matrix products, for torch.compile.

        Inductor of torch 2.11 gives the fused kernel's backward a bias (Swin's position table) in
        a layout that the kernel refuses.
        """
        for module in self.features.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False


def _build_features(
    settings: BackboneSettings, image_size: tuple[int, int], whole_strides: bool
) -> tuple[Any, tuple[int, int]]:
    """The feature extractor and the (height, width) that images have to be padded to for it.

    Many networks take any size, some only whole strides (and say so in their own ways).  Pixels
    on the right and at the bottom that fill no patch are skipped unless ``whole_strides``.
    """
    _check_name(settings.name)
    if not whole_strides:
        with suppress(Exception):  # timm raises whatever a network trips over; it is tried again below
            return _create_features(settings, image_size), image_size
    size = image_size
    try:
        stride = _create_features(settings, None).feature_info.reduction()[0]
        size = padded_size(image_size, stride)
        return _create_features(settings, size), size
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise UsageError(
            f"timm cannot build model.backbone.name={settings.name!r} with "
            f"model.backbone.out_stage={settings.out_stage} for images of {size[0]}x{size[1]}: {reason}. "
            "Choose another network, stage or data.image_size."
        ) from error


def _create_features(settings: BackboneSettings, size: tuple[int, int] | None) -> Any:
    """Build the feature extractor and prove that it takes images of ``size``, timm's default if None."""
    model_args = _model_args(settings.name, size) if size else {}
    with _fused_attention():
        features = timm.create_model(
            settings.name, features_only=True, out_indices=(settings.out_stage,), **model_args
        )
    _without_stochastic_depth(features)
    if size:
        # A copy without values; a batch of two, since batch norm refuses a single value per channel.
        with torch.no_grad():
            copy.deepcopy(features).to("meta")(torch.empty(2, 3, *size, device="meta"))
    return features


def _without_stochastic_depth(network: nn.Module) -> None:
    """The published training does without; and blocks that are alike are compiled once."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, DropPath):
                setattr(module, name, nn.Identity())


def _check_name(name: str) -> None:
    base_name = name.split(".")[0]
    if not timm.is_model(base_name):
        near = difflib.get_close_matches(base_name, timm.list_models(), n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "`timm.list_models()` lists them."
        raise UsageError(f"model.backbone.name: timm has no model {name!r}. {hint}")


def _model_args(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Constructor arguments for images of ``size``; only some networks are built for one size."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return {"img_size": size} if config is not None and config.fixed_input_size else {}


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Let networks built inside use PyTorch's fused attention, unless TIMM_FUSED_ATTN=0 forbids it.

    timm 1.0 keeps it off for Swin as experimental; a test compares the two.
    """
    usual, experimental = use_fused_attn(), use_fused_attn(experimental=True)
    if usual:
        set_fused_attn(True, experimental=True)
    try:
        yield
    finally:
        set_fused_attn(usual, experimental=experimental)
