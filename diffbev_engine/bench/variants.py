"""The variants of the ablation, each a few overrides of one configuration; light."""

from collections.abc import Sequence

from diffbev_engine.core.errors import UsageError

BASELINE_OVERRIDES = ("model.diffusion=None", "model.depth_loss=None", "data.load_depth=False")
"""What makes any DiffBEV configuration its own baseline."""

_CONDITION_S = "model.diffusion.condition='S'"
_CONDITION_O = "model.diffusion.condition='O'"
_LAYOUT = "model.diffusion.target='layout'"
_NO_NOISE = "model.diffusion.process='none'"
_SKIPS = "model.diffusion.condition_skips=True"
_CALIBRATED = "model.diffusion.calibrated=True"
_CONCAT = "model.diffusion.fusion.type='concat'"
_SELF = "model.diffusion.self_condition=True"
_WIDE = "model.diffusion.widths=(128, 256, 384)"
_MEASURED = "model.loss.priors='measured'"
_DEPTH = "model.diffusion=None"

VARIANTS: dict[str, tuple[str, ...]] = {
    "baseline": BASELINE_OVERRIDES,
    "depth": (_DEPTH,),
    "depth_oracle": (_DEPTH, "model.lift.oracle=True"),
    "depth_stride_32": (_DEPTH, "model.backbone.out_stage=-1"),
    "depth_upstream": (_DEPTH, "model.lift.mode='upstream'"),
    "depth_measured": (_DEPTH, _MEASURED),
    "diffbev_O": (_CONDITION_O,),
    "diffbev_S": (_CONDITION_S,),
    "diffbev_O+S": ("model.diffusion.condition='O+S'",),
    "diffbev_S_concat": (_CONDITION_S, _CONCAT),
    "diffbev_S_add": (_CONDITION_S, "model.diffusion.fusion.type='add'"),
    "diffbev_S_asinh": (_CONDITION_S, "model.diffusion.compress=True"),
    "unet_plain": (_CONDITION_O, _NO_NOISE),
    "layout_plain": (_CONDITION_O, _LAYOUT, _NO_NOISE),
    "layout": (_CONDITION_O, _LAYOUT),
    "layout_unaligned": (_CONDITION_O, _LAYOUT, "model.diffusion.aligned=False"),
    "layout_small_bits": (_CONDITION_O, _LAYOUT, "model.diffusion.amplitude=0.1"),
    "layout_skips": (_CONDITION_O, _LAYOUT, _SKIPS),
    "layout_plain_skips": (_CONDITION_O, _LAYOUT, _NO_NOISE, _SKIPS),
    "layout_calibrated": (_CONDITION_O, _LAYOUT, _CALIBRATED),
    "layout_plain_concat": (_CONDITION_O, _LAYOUT, _NO_NOISE, _CONCAT),
    "layout_concat": (_CONDITION_O, _LAYOUT, _CALIBRATED, _CONCAT),
    "layout_self_concat": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF, _CONCAT),
    "layout_self_concat_skips": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF, _CONCAT, _SKIPS),
    "layout_self_concat_wide": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF, _CONCAT, _WIDE),
    "layout_self_concat_measured": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF, _CONCAT, _MEASURED),
    "layout_plain_concat_wide": (_CONDITION_O, _LAYOUT, _NO_NOISE, _CONCAT, _WIDE),
    "layout_self": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF),
    "layout_self_skips": (_CONDITION_O, _LAYOUT, _CALIBRATED, _SELF, _SKIPS),
    "diffusion_only": (_CONDITION_S, "model.depth_loss=None", "data.load_depth=False"),
    "diffbev_S_self_attn": (_CONDITION_S, "model.diffusion.xt_encoding='self_attn'"),
}
"""Name, which is also a folder's name, to the ``--set`` overrides that follow the user's own."""


def reference_of(names: Sequence[str]) -> str:
    """The variant that gaps are measured against: the baseline, or else the first one."""
    return "baseline" if "baseline" in names else names[0]


DEFAULT_VARIANTS = (
    *("baseline", "depth", "diffbev_O", "diffbev_S", "diffbev_O+S"),
    *("diffbev_S_concat", "diffbev_S_add"),
)
"""The published form with each of its choices; the rest are controls, and the map as target."""


def check_variants(names: tuple[str, ...]) -> None:
    """Refuse unknown and repeated names.

    Raises:
        UsageError: naming those there are.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise UsageError(f"no variant {', '.join(unknown)}: choose among {', '.join(VARIANTS)}.")
    if not names or len(set(names)) < len(names):
        raise UsageError("--variants: name at least one variant, and each only once.")
