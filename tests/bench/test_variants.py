"""The variants are folder names and fit the presets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffbev_engine.bench.ablation_runs import plan_trainings
from diffbev_engine.bench.variants import DEFAULT_VARIANTS, VARIANTS, check_variants
from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import UsageError


@pytest.mark.parametrize("preset", ["nuscenes", "demo", "synth"])
def test_every_variant_fits_the_presets(preset, tmp_path):
    plan = plan_trainings(
        f"diffbev/diffbev_lss_swin_{preset}",
        tmp_path,
        variants=tuple(VARIANTS),
        seeds=(0,),
        overrides=(),
        data_root=tmp_path,
    )
    models = {training.variant: training.settings.model for training in plan}
    assert all(re.fullmatch(r"[\w+]+", name) for name in models)
    assert models["baseline"].diffusion is None
    assert models["baseline"].depth_loss is None
    assert models["depth"].diffusion is None
    assert models["depth"].depth_loss is not None
    for condition in ("O", "S", "O+S"):
        assert models[f"diffbev_{condition}"].diffusion.condition == condition
        assert models[f"diffbev_{condition}"].diffusion.fusion.type == "cross_attn"
    for fusion in ("concat", "add"):
        assert models[f"diffbev_S_{fusion}"].diffusion.fusion.type == fusion
    assert models["diffusion_only"].depth_loss is None
    assert models["diffusion_only"].diffusion is not None
    assert models["diffbev_S_self_attn"].diffusion.xt_encoding == "self_attn"
    assert models.pop("depth_oracle").lift.oracle
    assert models.pop("depth_stride_32").backbone.out_stage == -1
    assert models.pop("depth_upstream").lift.mode == "upstream"
    for name in ("depth_measured", "layout_self_concat_measured"):
        assert models.pop(name).loss.priors == "measured"
    rest = [model.model_copy(update={"diffusion": None, "depth_loss": None}) for model in models.values()]
    assert all(model == rest[0] for model in rest)


@pytest.mark.parametrize(
    ("variant", "preset"), [("diffbev_S", "published"), ("layout_self_concat", "lss_swin")]
)
@pytest.mark.parametrize("start", ["published", "lss_swin"])
def test_two_variants_are_the_published_and_the_recommended_preset_wherever_they_start(
    variant, preset, start
):
    changed = load_settings(f"diffbev/diffbev_{start}_nuscenes", VARIANTS[variant])
    assert changed == load_settings(f"diffbev/diffbev_{preset}_nuscenes")


def test_seeds_run_outermost_and_everything_else_is_equal(tmp_path):
    plan = plan_trainings(
        "diffbev/diffbev_lss_swin_synth",
        tmp_path,
        variants=("baseline", "depth"),
        seeds=(3, 1),
        overrides=("runner.max_iters=40",),
        data_root=Path("data"),
    )
    assert [training.name for training in plan] == [
        "baseline seed 3",
        "depth seed 3",
        "baseline seed 1",
        "depth seed 1",
    ]
    assert [training.settings.seed for training in plan] == [3, 3, 1, 1]
    assert plan[1].folder.path == tmp_path / "depth" / "seed_3"
    for training in plan:
        assert training.settings.runner.max_iters == 40
        assert training.settings.evaluation.interval == 40, "it would end without an evaluation"
        assert training.settings.data_root == Path("data").absolute()
        assert training.settings.optimizer == plan[0].settings.optimizer


def test_unknown_and_repeated_variants_are_refused():
    check_variants(DEFAULT_VARIANTS)
    with pytest.raises(UsageError, match="no variant diffbev_T: choose among baseline, depth"):
        check_variants(("baseline", "diffbev_T"))
    with pytest.raises(UsageError, match="only once"):
        check_variants(("depth", "depth"))


def test_the_commands_import_nothing_heavy():
    code = "import sys, diffbev_engine.cli.bench; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "cv2", "pydantic"} & set(done.stdout.split())
