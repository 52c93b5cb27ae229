"""The network: backbone, lift-splat, BEV encoder, DiffBEV, head; the baseline is the one without DiffBEV.

Dimension letters: B batch, C channels, D depth bins, h w feature rows and columns,
Z X BEV rows (row 0 nearest) and columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.backbone import Backbone
from diffbev_engine.models.compiled import innermost
from diffbev_engine.models.depth import DepthTarget, depth_target
from diffbev_engine.models.diffbev import DiffBEV
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.head import PyramidHead
from diffbev_engine.models.layout import LayoutDiffusion
from diffbev_engine.models.lift_splat import LiftSplat
from diffbev_engine.models.norm import GroupNorm
from diffbev_engine.models.settings import ModelSettings

_SMALLEST = 1e-7
"""Probability that an average of samples is held above, so that it has logits."""


class ModelOutput(NamedTuple):
    """What a network returns for a batch."""

    logits: Tensor
    """(B, 14, Z, X); a class is present where its sigmoid is above one half."""
    depth_logits: Tensor
    """(B, D, h, w) unnormalised scores of the depth bins."""
    noise_error: Tensor | None = None
    """Ldiff, a float32 scalar; None where no draws for it were given."""
    spread: Tensor | None = None
    """(B, 14, Z, X) float32, standard deviation of the probability over the samples of ``sample``."""


class BEVEncoder(nn.Module):
    """Two residual blocks on the splatted feature, which fill the cells that no feature reaches."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        if channels % groups:
            raise UsageError(f"model.head.groups={groups} does not divide model.lift.channels={channels}.")
        self.block1 = _residual_branch(channels, groups)
        self.block2 = _residual_branch(channels, groups)

    def forward(self, bev: Tensor) -> Tensor:
        """(B, C, Z, X) to the same shape."""
        bev = innermost(bev)
        bev = bev + self.block1(bev)
        return bev + self.block2(bev)


class BEVModel(nn.Module):
    """Image and intrinsics to BEV logits.

    Args:
        settings: The whole network.
        image_size: (height, width) of the images, in pixels.

    Attributes:
        diffusion: The denoising between BEV encoder and head, None in a baseline.
        pixel_mean, pixel_std: (1, 3, 1, 1) buffers, normalisation of RGB in 0–255 for this backbone.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, settings: ModelSettings, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = image_size
        aligned = settings.lift.mode == "aligned"
        self.backbone = Backbone(settings.backbone, image_size, whole_strides=aligned)
        self.lift = LiftSplat(self.backbone.channels, settings.lift, image_size, self.backbone.stride)
        self._has_oracle = settings.lift.oracle
        channels = settings.lift.channels
        self.bev_encoder = (
            BEVEncoder(channels, settings.head.groups) if settings.bev_encoder else nn.Identity()
        )
        self.head = PyramidHead(channels, settings.head, settings.loss.shares)
        size = (self.lift.grid.rows, self.lift.grid.cols)
        # Built last: the other parts start with the weights that a baseline of the same seed has.
        self.diffusion: DiffBEV | LayoutDiffusion | None = None
        if settings.diffusion and settings.diffusion.target == "layout":
            self.diffusion = LayoutDiffusion(channels, size, settings.diffusion, settings.loss.shares)
        elif settings.diffusion:
            self.diffusion = DiffBEV(channels, size, settings.diffusion)
        for name in ("pixel_mean", "pixel_std"):
            value = torch.tensor(getattr(self.backbone, name)).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        images: Tensor,
        intrinsics: Tensor,
        draws: Draws | None = None,
        depth: Tensor | None = None,
    ) -> ModelOutput:
        """Run the network.

        Args:
            images: (B, 3, height, width) normalised, at the size that the model was built for.
            intrinsics: (B, 3, 3) pixels, for that size.
            draws: Noise of the diffusion, from ``diffusion``'s own methods; a baseline needs none.
            depth: (B, height, width) metres, 0 where no LiDAR point is; for ``lift.oracle`` alone.
        """
        bev, depth_logits = self.encode(images, intrinsics, depth)
        if self.diffusion is None:
            return ModelOutput(self.head(bev), depth_logits)
        if draws is None:
            raise ValueError("a model with diffusion needs draws")
        refined = self.diffusion(bev, self.lift.depth_mass(depth_logits, intrinsics), draws)
        return ModelOutput(self.head(refined.feature), depth_logits, refined.noise_error)

    def sample(
        self,
        images: Tensor,
        intrinsics: Tensor,
        draws: Sequence[Draws],
        depth: Tensor | None = None,
    ) -> ModelOutput:
        """Average the probabilities of several maps, one for each of ``draws``, of the same images.

        Args:
            images: as in ``forward``.
            intrinsics: as in ``forward``.
            draws: noise of each map, from ``diffusion.evaluation_draws``.
            depth: as in ``forward``.
        """
        assert self.diffusion is not None
        bev, depth_logits = self.encode(images, intrinsics, depth)
        mass = self.lift.depth_mass(depth_logits, intrinsics)
        maps = [self.head(self.diffusion(bev, mass, each).feature).float().sigmoid() for each in draws]
        probability = torch.stack(maps)  # samples x B x 14 x Z x X
        spread, mean = torch.std_mean(probability, dim=0, correction=0)
        return ModelOutput(mean.logit(eps=_SMALLEST), depth_logits, spread=spread)

    def encode(
        self, images: Tensor, intrinsics: Tensor, depth: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The BEV feature (B, C, Z, X) and the scores of the depth bins (B, D, h, w)."""
        if images.shape[-2:] != self.image_size:
            raise ValueError(f"images are {tuple(images.shape[-2:])}, the model is for {self.image_size}")
        features = self.backbone(images)  # B x C x h x w
        bev, depth_logits = self.lift(features, intrinsics, self._oracle(depth))  # B x C x Z x X
        return self.bev_encoder(bev), depth_logits

    def _oracle(self, depth: Tensor | None) -> DepthTarget | None:
        if not self._has_oracle:
            return None
        if depth is None:
            raise UsageError(
                "model.lift.oracle=True needs LiDAR depth at the image size: set data.load_depth=True and "
                "run `diffbev-engine prepare-depth` for this split."
            )
        return depth_target(depth, self.lift.depths, self.lift.feature_size, self.backbone.stride)


def build_model(settings: ModelSettings, image_size: tuple[int, int]) -> BEVModel:
    """Build the network for images of ``image_size`` (height, width).

    Raises:
        UsageError: settings that do not fit together.
        DiffBEVError: pretrained weights that cannot be had or do not fit.
    """
    return BEVModel(settings, image_size)


def _residual_branch(channels: int, groups: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, GroupNorm(groups, channels, "silu"))
