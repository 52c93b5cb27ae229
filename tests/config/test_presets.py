import shutil
from pathlib import Path

import pytest

from diffbev_engine.config.load import load_settings
from diffbev_engine.config.parser import parse_config
from diffbev_engine.config.presets_index import PRESETS_DIR, preset_names
from diffbev_engine.config.settings import Settings
from diffbev_engine.config.values import plain
from diffbev_engine.core.classes import CLASS_PRIORS
from diffbev_engine.core.errors import UsageError

MAIN = "baseline/lss_swin_nuscenes.py"
DIFFBEV = "diffbev/diffbev_lss_swin_nuscenes.py"
PUBLISHED = "diffbev/diffbev_published_nuscenes.py"

# Step 2.2 of the runbook, between the two EOF marks.
SMOKE_TEST = """\
# 冒烟测试：覆盖runner配置，将max_iters设置为300
runner = dict(type='IterBasedRunner', max_iters=300)
# 冒烟测试：覆盖checkpoint_config，设置更小的interval以便保存checkpoint
checkpoint_config = dict(by_epoch=False, interval=100)
"""


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name: str) -> None:
    assert load_settings(name) == load_settings(name.removesuffix(".py"))


def test_bases_are_not_offered_as_experiments() -> None:
    assert preset_names() == [
        "baseline/lss_swin_demo.py",
        MAIN,
        "diffbev/diffbev_lss_swin_demo.py",
        DIFFBEV,
        "diffbev/diffbev_lss_swin_synth.py",
        PUBLISHED,
        "diffbev/diffbev_stride16_nuscenes.py",
    ]


def test_main_preset_is_the_published_recipe() -> None:
    settings = load_settings(MAIN)
    assert settings.model_dump(mode="json") == {
        "data_root": "data/nuScenes",
        "model": {
            "backbone": {
                "name": "swin_tiny_patch4_window7_224",
                "pretrained": "imagenet",
                "out_stage": -1,
            },
            "lift": {"mode": "upstream", "channels": 64, "height_limit": 10.0, "oracle": False},
            "bev_encoder": True,
            "diffusion": None,
            "depth_loss": None,
            "head": {"planes": [128, 64], "blocks": 4, "groups": 16},
            "loss": {"priors": list(CLASS_PRIORS), "invisible_weight": 0.001},
        },
        "data": {
            "samples_per_gpu": 4,
            "workers_per_gpu": 4,
            "image_size": [600, 800],
            "cameras": "all",
            "mask": "pon",
            "photometric": True,
            "load_depth": False,
            "frame_cache": None,
        },
        "optimizer": {"type": "AdamW", "lr": 2e-4, "betas": [0.9, 0.999], "weight_decay": 0.01},
        "optimizer_config": {"grad_clip": {"max_norm": 35.0}, "cumulative_iters": 1},
        "lr_config": {
            "policy": "poly",
            "power": 1.0,
            "min_lr": 0.0,
            "by_epoch": False,
            "warmup": "linear",
            "warmup_iters": 1500,
            "warmup_ratio": 1e-6,
        },
        "runner": {"type": "IterBasedRunner", "max_iters": 200_000},
        "ema": None,
        "load_from": None,
        "checkpoint_config": {"by_epoch": False, "interval": 5000, "max_keep_ckpts": 3},
        "evaluation": {"interval": 20_000, "metric": "mIoU", "mask": "pon", "samples_per_gpu": None},
        "log_config": {"interval": 50, "hooks": []},
        "dist_params": {"timeout": 60.0},
        "precision": "bf16",
        "compile": "auto",
        "recompute": [],
        "seed": 0,
        "deterministic": False,
    }


def test_main_preset_writes_every_setting_that_is_not_rare() -> None:
    """A user changes what is there to see; only the priors and the evaluation batch are left out."""

    def keys(tree: object, above: str = "") -> set[str]:
        if not isinstance(tree, dict):
            return {above}
        return set().union(*(keys(value, f"{above}.{key}") for key, value in tree.items()))

    written = keys(plain(parse_config(PRESETS_DIR / MAIN)))
    known = keys(Settings(data_root=Path("data")).model_dump())
    assert known - written == {".model.loss.priors", ".evaluation.samples_per_gpu"}


def test_diffbev_preset_differs_from_the_baseline_in_the_method_alone() -> None:
    baseline, diffbev = load_settings(MAIN).model_dump(), load_settings(DIFFBEV).model_dump()
    assert diffbev["model"].pop("diffusion")["steps"] == 5
    assert diffbev["model"].pop("depth_loss") == {"form": "bce_mean", "weight": 10.0}
    assert diffbev["data"].pop("load_depth") is True
    for settings in (baseline["model"], baseline["data"]):
        for key in ("diffusion", "depth_loss", "load_depth"):
            settings.pop(key, None)
    assert diffbev == baseline


def test_published_preset_denoises_the_feature_and_the_recommended_one_the_map() -> None:
    published, recommended = load_settings(PUBLISHED), load_settings(DIFFBEV)
    assert (published.model.diffusion.target, published.model.diffusion.condition) == ("feature", "S")
    assert published.model.diffusion.fusion.type == "cross_attn"
    assert recommended.model.diffusion.target == "layout"
    same = {"diffusion": published.model.diffusion}
    assert recommended.model_copy(update={"model": recommended.model.model_copy(update=same)}) == published


@pytest.mark.parametrize("name", [DIFFBEV, PUBLISHED])
def test_diffbev_preset_writes_every_setting_of_the_method(name: str) -> None:
    model = plain(parse_config(PRESETS_DIR / name))["model"]
    known = load_settings(name).model
    assert model["diffusion"].keys() == known.diffusion.model_dump().keys()
    assert model["diffusion"]["fusion"].keys() == known.diffusion.fusion.model_dump().keys()
    assert model["depth_loss"].keys() == known.depth_loss.model_dump().keys()


def test_demo_presets_share_one_small_network() -> None:
    baseline = load_settings("baseline/lss_swin_demo")
    diffbev = load_settings("diffbev/diffbev_lss_swin_demo")
    method = {"diffusion": None, "depth_loss": None}
    assert diffbev.model.model_copy(update=method) == baseline.model
    assert diffbev.data.model_copy(update={"load_depth": False}) == baseline.data


def test_depth_supervision_without_depth_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.depth_loss needs depth .* data\.load_depth=True"):
        load_settings(DIFFBEV, ["data.load_depth=False"])


def test_demo_preset_is_small_and_needs_no_download() -> None:
    settings = load_settings("baseline/lss_swin_demo")
    assert settings.model.backbone.pretrained is None
    assert settings.precision == "fp32"
    assert settings.runner.max_iters == settings.evaluation.interval == 300
    assert settings.lr_config.warmup_iters < settings.runner.max_iters
    groups, planes = settings.model.head.groups, settings.model.head.planes
    assert all(width % groups == 0 for width in planes)


def test_smoke_test_of_the_runbook_changes_two_settings_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PRESETS_DIR, tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    shutil.copy("configs/baseline/lss_swin_nuscenes.py", "configs/baseline/lss_swin_nuscenes_smoke.py")
    with Path("configs/baseline/lss_swin_nuscenes_smoke.py").open("a", encoding="utf-8") as file:
        file.write(SMOKE_TEST)
    full = load_settings("configs/baseline/lss_swin_nuscenes.py")
    smoke = load_settings("configs/baseline/lss_swin_nuscenes_smoke.py")
    assert smoke.runner.max_iters == 300
    assert smoke.checkpoint_config.interval == 100
    same = {
        "runner": smoke.runner.model_copy(update={"max_iters": 200_000}),
        "checkpoint_config": smoke.checkpoint_config.model_copy(update={"interval": 5000}),
    }
    assert smoke.model_copy(update=same) == full


def test_data_root_is_changed_in_the_dataset_file(tmp_path: Path) -> None:
    shutil.copytree(PRESETS_DIR, tmp_path / "configs")
    dataset = tmp_path / "configs/_base_/datasets/nuscene.py"
    text = dataset.read_text(encoding="utf-8")
    changed = text.replace('data_root = "data/nuScenes"', "data_root = '/media/data0/nuScenes'")
    assert changed != text
    dataset.write_text(changed, encoding="utf-8")
    for name in preset_names():
        assert load_settings(tmp_path / "configs" / name).data_root == Path("/media/data0/nuScenes")


def test_a_preset_can_be_a_base(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("_base_ = ['baseline/lss_swin_nuscenes.py']\ndata = dict(samples_per_gpu=8)\n")
    settings = load_settings(path)
    assert settings.data.samples_per_gpu == 8
    assert settings.runner.max_iters == 200_000
