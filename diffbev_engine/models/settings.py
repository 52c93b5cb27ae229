"""Settings of the network, in the units of ``models``; light, so that tools can read them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from diffbev_engine.classes import CLASS_PRIORS, NUM_CLASSES
from diffbev_engine.settings_base import StrictSettings

Probability = Annotated[float, Field(gt=0.0, lt=1.0)]


Priors = Annotated[
    tuple[Probability, ...], Field(strict=False, min_length=NUM_CLASSES, max_length=NUM_CLASSES)
]


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

    priors: Annotated[
        tuple[Probability, ...], Field(strict=False, min_length=NUM_CLASSES, max_length=NUM_CLASSES)
    ] = CLASS_PRIORS
    """Share of visible cells per class; sets the class weights and the initial logits."""
    invisible_weight: Annotated[float, Field(ge=0.0)] = 0.001
    """Weight of the term that pulls invisible cells to the prior."""


class ModelSettings(StrictSettings):
    """The whole network."""

    backbone: BackboneSettings = BackboneSettings()
    lift: LiftSettings = LiftSettings()
    bev_encoder: bool = False
    """Two residual blocks on the splatted feature before the head."""
    head: HeadSettings = HeadSettings()
    loss: SegmentationLossSettings = SegmentationLossSettings()

    def without_pretrained(self) -> "ModelSettings":
        """The same network for weights that come from a checkpoint, so that none are fetched."""
        backbone = self.backbone.model_copy(update={"pretrained": None})
        return self.model_copy(update={"backbone": backbone})
