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


def _diffbev(*choices: str) -> tuple[str, ...]:
    """The published form but for ``choices``, whatever form the configuration has."""
    return (
        "model.diffusion.target='feature'",
        "model.diffusion.calibrated=False",
        "model.diffusion.self_condition=False",
        "model.diffusion.steps=3",
        "model.diffusion.fusion.type='cross_attn'",
        *choices,
    )


def _map(*choices: str) -> tuple[str, ...]:
    """The form whose clean side is the map, conditioned on the BEV feature."""
    return _diffbev(_CONDITION_O, _LAYOUT, *choices)


def _map_self_concat(*choices: str) -> tuple[str, ...]:
    """The recommended form."""
    return _map(_CALIBRATED, _SELF, _CONCAT, "model.diffusion.steps=5", *choices)


VARIANTS: dict[str, tuple[str, ...]] = {
    "baseline": BASELINE_OVERRIDES,
    "depth": (_DEPTH,),
    "depth_oracle": (_DEPTH, "model.lift.oracle=True"),
    "depth_stride_32": (_DEPTH, "model.backbone.out_stage=-1"),
    "depth_upstream": (_DEPTH, "model.lift.mode='upstream'"),
    "depth_measured": (_DEPTH, _MEASURED),
    "diffbev_O": _diffbev(_CONDITION_O),
    "diffbev_S": _diffbev(_CONDITION_S),
    "diffbev_O+S": _diffbev("model.diffusion.condition='O+S'"),
    "diffbev_S_concat": _diffbev(_CONDITION_S, _CONCAT),
    "diffbev_S_add": _diffbev(_CONDITION_S, "model.diffusion.fusion.type='add'"),
    "diffbev_S_asinh": _diffbev(_CONDITION_S, "model.diffusion.compress=True"),
    "unet_plain": _diffbev(_CONDITION_O, _NO_NOISE),
    "layout_plain": _map(_NO_NOISE),
    "layout": _map(),
    "layout_unaligned": _map("model.diffusion.aligned=False"),
    "layout_small_bits": _map("model.diffusion.amplitude=0.1"),
    "layout_skips": _map(_SKIPS),
    "layout_plain_skips": _map(_NO_NOISE, _SKIPS),
    "layout_calibrated": _map(_CALIBRATED),
    "layout_plain_concat": _map(_NO_NOISE, _CONCAT),
    "layout_concat": _map(_CALIBRATED, _CONCAT),
    "layout_self_concat": _map_self_concat(),
    "layout_self_concat_skips": _map_self_concat(_SKIPS),
    "layout_self_concat_wide": _map_self_concat(_WIDE),
    "layout_self_concat_measured": _map_self_concat(_MEASURED),
    "layout_self_concat_cosine": _map_self_concat("model.diffusion.schedule='cosine'"),
    "layout_self_concat_small_bits": _map_self_concat("model.diffusion.amplitude=0.1"),
    "layout_self_concat_heavy": _map_self_concat("model.diffusion.weight=3.0"),
    "layout_plain_concat_wide": _map(_NO_NOISE, _CONCAT, _WIDE),
    "layout_self": _map(_CALIBRATED, _SELF),
    "layout_self_skips": _map(_CALIBRATED, _SELF, _SKIPS),
    "diffusion_only": _diffbev(_CONDITION_S, "model.depth_loss=None", "data.load_depth=False"),
    "diffbev_S_self_attn": _diffbev(_CONDITION_S, "model.diffusion.xt_encoding='self_attn'"),
}
"""Name, which is also a folder's name, to the ``--set`` overrides that follow the user's own."""


def reference_of(names: Sequence[str]) -> str:
    """The variant that gaps are measured against: the baseline, or else the first one."""
    return "baseline" if "baseline" in names else names[0]


DEFAULT_VARIANTS = ("baseline", "depth", "diffbev_S", "layout_plain_concat", "layout_self_concat")
"""What each part is worth: depth, the published form, the map without noise, the recommended form."""


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
