"""Settings of the network, in the units of ``models``; light, so that tools can read them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from diffbev_engine.core.classes import CLASS_PRIORS, NUM_CLASSES
from diffbev_engine.core.settings_base import StrictSettings

Probability = Annotated[float, Field(gt=0.0, lt=1.0)]


Priors = Annotated[
    tuple[Probability, ...], Field(strict=False, min_length=NUM_CLASSES, max_length=NUM_CLASSES)
]
MEASURED: Literal["measured"] = "measured"


class BackboneSettings(StrictSettings):
    """The image encoder, any timm model with ``features_only``."""

    name: str = "swin_tiny_patch4_window7_224"
    """timm model name."""
    pretrained: str | None = "imagenet"
    """``imagenet``: timm's weights (cache or network); a path: a local ``.pth``; ``None``: random."""
    out_stage: int = -1
    """Index of the feature stage that is lifted; -1 is the deepest."""


class LiftSettings(StrictSettings):
    """The lift-splat view transform (Philion and Fidler, ECCV 2020), camera frame."""

    mode: Literal["upstream", "aligned"] = "upstream"
    """``upstream``: the published geometry; ``aligned``: true pixel centres and half-metre bins."""
    channels: PositiveInt = 64
    """Context channels that are splatted."""
    height_limit: PositiveFloat = 10.0
    """Points more than this many metres above or below the optical axis are dropped."""
    oracle: bool = False
    """A control that no car can have: features with a LiDAR point are splatted at its depth, in evaluation
    too; the others where the network takes them to be."""


class HeadSettings(StrictSettings):
    """The PON-style top-down network: two stages of bottlenecks with group norm."""

    planes: Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)] = (128, 64)
    """Inner width of each stage; its output has four times as many channels."""
    blocks: PositiveInt = 4
    """Bottlenecks a stage."""
    groups: PositiveInt = 16
    """Groups of every group norm."""


class SegmentationLossSettings(StrictSettings):
    """Lwce: balanced binary cross entropy plus the prior term on invisible cells."""

    priors: Priors | Literal["measured"] = CLASS_PRIORS
    """Share of visible cells per class; sets the class weights and the initial logits. ``measured``: of the
    training labels, when training starts; the checkpoint holds the numbers."""
    invisible_weight: Annotated[float, Field(ge=0.0)] = 0.001
    """Weight of the term that pulls invisible cells to the prior."""

    @property
    def shares(self) -> tuple[float, ...]:
        """The priors as numbers; those of nuScenes until they are measured."""
        return CLASS_PRIORS if self.priors == MEASURED else self.priors


class DepthLossSettings(StrictSettings):
    """Ldepth: LiDAR supervision of the lift's depth distribution."""

    form: Literal["bce_mean", "ce"] = "bce_mean"
    """``bce_mean``: binary cross entropy, mean over bins; ``ce``: -log of the true bin's probability."""
    weight: PositiveFloat = 10.0
    """Weight in the total loss; ``ce`` is about 40 times larger, so give it at most 1."""


class FusionSettings(StrictSettings):
    """How the denoised BEV feature joins the original one; each starts as the identity."""

    type: Literal["cross_attn", "concat", "add"] = "cross_attn"
    heads: PositiveInt = 4
    """Attention heads, for ``cross_attn``."""
    key_stride: PositiveInt = 1
    """``cross_attn`` averages keys and values over squares of this many cells; 1 keeps every cell."""


class DiffusionSettings(StrictSettings):
    """The conditional diffusion module: what is denoised, under which condition, in how many steps."""

    target: Literal["feature", "layout"] = "feature"
    """What is denoised. ``feature``: the standardised BEV feature, as published; ``layout``: the BEV map,
    whose clean side in training is the ground truth, sampled from pure noise under the BEV feature."""
    process: Literal["diffusion", "none"] = "diffusion"
    """``none``: the control, the same network without noise, in one deterministic pass."""
    aligned: bool = True
    """``layout``: train head and U-Net also on the network's own estimates, which later steps begin with."""
    calibrated: bool = False
    """``layout``: correct the sampler's estimates for the class weights of the loss."""
    self_condition: bool = False
    """``layout``: self-conditioning (Chen et al., ICLR 2023): the U-Net gets its previous estimate, too."""
    amplitude: PositiveFloat = 0.5
    """``layout``: size of the analog bits; the smaller, the more the map has to come from the condition."""
    condition: Literal["O", "S", "O+S"] = "S"
    """``O``: the original BEV feature; ``S``: the splatted depth distribution; or their sum."""
    timesteps: Annotated[int, Field(ge=10)] = 1000
    """Length T of the noise schedule."""
    schedule: Literal["linear", "cosine"] = "linear"
    prediction: Literal["epsilon", "v"] = "epsilon"
    """What the U-Net predicts; Ldiff is the error of the noise in both cases."""
    start: Probability = 0.3
    """``feature``: it is noised to ``start * timesteps`` and denoised from there."""
    train_steps: PositiveInt = 1
    """``feature``: DDIM steps in training; gradients flow through the last one."""
    steps: PositiveInt = 3
    """DDIM steps in evaluation."""
    clamp: PositiveFloat = 4.0
    """``feature``: limit of the denoised feature, in standard deviations of the original one."""
    compress: bool = False
    """``feature``: denoise its inverse hyperbolic sine, so that the limit cuts off less of its energy."""
    widths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)] = (64, 128, 256)
    """Channels of the U-Net's levels."""
    blocks: PositiveInt = 2
    """Residual blocks a level."""
    groups: PositiveInt = 32
    """Groups of every group norm of the U-Net."""
    condition_skips: bool = False
    """Whether the condition also joins the skip connections, not the coarsest level alone."""
    xt_encoding: Literal["conv", "self_attn"] = "conv"
    """How the noised feature is encoded before it weighs the condition; the finest level always by conv."""
    fusion: FusionSettings = FusionSettings()
    weight: PositiveFloat = 1.0
    """Weight of Ldiff in the total loss."""


class ModelSettings(StrictSettings):
    """The whole network."""

    backbone: BackboneSettings = BackboneSettings()
    lift: LiftSettings = LiftSettings()
    bev_encoder: bool = True
    """Two residual blocks on the splatted feature before the head."""
    diffusion: DiffusionSettings | None = None
    """DiffBEV's denoising between BEV encoder and head; ``None``: the baseline."""
    depth_loss: DepthLossSettings | None = None
    """LiDAR supervision of the depth distribution; ``None``: none."""
    head: HeadSettings = HeadSettings()
    loss: SegmentationLossSettings = SegmentationLossSettings()

    def with_priors(self, priors: tuple[float, ...]) -> "ModelSettings":
        """The same network with the priors that were measured."""
        return self.model_copy(update={"loss": self.loss.model_copy(update={"priors": priors})})

    def without_pretrained(self) -> "ModelSettings":
        """The same network for weights that come from a checkpoint, so that none are fetched."""
        backbone = self.backbone.model_copy(update={"pretrained": None})
        return self.model_copy(update={"backbone": backbone})
