import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbev_engine.config.explain import all_keys, expected
from diffbev_engine.config.foreign import GROUPS, KEYS, VALUES, advice_for_key
from diffbev_engine.config.load import dump_config, load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.settings import BackboneSettings

DEMO = "baseline/lss_swin_demo"


def config(folder: Path, text: str) -> Path:
    path = folder / "config.py"
    path.write_text(f"data_root = 'data'\n{text}\n", encoding="utf-8")
    return path


def failure(path: str | Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_settings(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data = dict(sampels_per_gpu=2)", "unknown key data.sampels_per_gpu; did you mean samples_per_gpu?"),
        ("samples_per_gpu = 2", "unknown key samples_per_gpu; did you mean data.samples_per_gpu?"),
        ("runner = dict(qqq=2)", "unknown key runner.qqq; the keys here are type, max_iters."),
        (
            "optimizer_config = dict(grad_clip=dict(max_nrm=2))",
            "unknown key optimizer_config.grad_clip.max_nrm; did you mean max_norm?",
        ),
        (
            "data = dict(samples_per_gpu=-2)",
            "data.samples_per_gpu: expected a whole number above 0, found -2",
        ),
        (
            "data = dict(samples_per_gpu=2.0)",
            "data.samples_per_gpu: expected a whole number above 0, found 2.0",
        ),
        ("deterministic = 1", "deterministic: expected True or False, found 1"),
        ("data_root = 3", "data_root: expected a path in quotes, found 3"),
        ("precision = 'fp8'", "precision: expected 'bf16', 'fp16' or 'fp32', found 'fp8'"),
        ("lr_config = dict(warmup='exp')", "lr_config.warmup: expected 'linear' or None, found 'exp'"),
        (
            "data = dict(image_size=(600,))",
            "data.image_size: expected a list of 2 values, each a whole number above 0, found (600,)",
        ),
        (
            "data = dict(image_size=(600, '800'))",
            "data.image_size[1]: expected a whole number above 0, found '800'",
        ),
        (
            "model = dict(loss=dict(priors=(0.1,)))",
            "model.loss.priors: expected a list of 14 values, each a number above 0 and below 1 "
            "or 'measured', found (0.1,)",
        ),
        ("model = dict(head=3)", "model.head: expected a group of settings, dict(key=value), found 3"),
        (
            "evaluation = dict(samples_per_gpu='4')",
            "evaluation.samples_per_gpu: expected a whole number above 0 or None, found '4'",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = config(tmp_path, line)
    assert failure(path) == f"{path}:2: {message}"


def test_keys_of_other_frameworks_are_answered_with_what_they_are_called_here(tmp_path: Path) -> None:
    for line, advice in {
        "fp16 = dict(loss_scale='dynamic')": "precision = 'bf16' or 'fp16'",
        "work_dir = './work_dirs/a'": "--work-dir",
        "resume_from = None": "--resume",
        "init_checkpoint = 'swin.pth'": "load_from='PATH'",
        "total_epochs = 24": "runner = dict(max_iters=N)",
        "runner = dict(type='EpochBasedRunner', max_epochs=24)": "runner = dict(max_iters=N)",
        "optimizer = dict(type='SGD')": "AdamW is the only optimizer",
        "optimizer = dict(paramwise_cfg=dict())": "never decayed",
        "lr_config = dict(policy='step')": "Polynomial decay is the only schedule",
        "lr_config = dict(step=[8, 11])": "lr_config takes policy='poly'",
        "checkpoint_config = dict(by_epoch=True)": "by_epoch=False",
        "evaluation = dict(metric=['mIoU'])": "metric='mIoU'",
        "data = dict(train=dict(pipeline=[]))": "data_root",
        "train_pipeline = []": "data.image_size",
        "train_dataloader = dict(batch_size=4)": "samples_per_gpu",
        "batch_size = 4": "Write data.samples_per_gpu",
        "optim_wrapper = dict()": "optimizer = dict(lr=...)",
        "param_scheduler = []": "lr_config",
        "model = dict(decode_head=dict())": "model.head",
        "model = dict(pretrained='a.pth')": "model.backbone.pretrained",
        "model = dict(backbone=dict(embed_dims=96))": "model.backbone.name",
        "model = dict(backbone=dict(nmae='a'))": "did you mean name?",
        "log_config = dict(hooks=['mlflow'])": "no tracker 'mlflow': choose among tensorboard",
        "log_config = dict(hooks=[dict(type=['a'])])": "no tracker",
        "log_config = dict(hooks=[dict(type='WandbLoggerHook', init_kwargs={})])": "WANDB_PROJECT",
        "gpu_ids = [0]": "--gpu-ids",
        "custom_imports = dict(imports=['a'])": "No code is loaded",
    }.items():
        path = config(tmp_path, line)
        message = failure(path)
        assert message.startswith(f"{path}:2: ")
        assert advice in message
        assert "\n" not in message
    assert "--work-dir" in failure(DEMO, "work_dir=a")


def test_every_advice_is_about_a_key_that_does_not_exist_and_names_keys_that_do() -> None:
    ours = {".".join(map(str, path)) for path in all_keys(Settings)}
    assert not [key for key in ours if advice_for_key(key)]
    advice = " ".join(text for table in (KEYS, GROUPS, VALUES) for _, text in table)
    named = re.findall(r"\b(?:model|data|optimizer|runner|evaluation|log_config)(?:\.[a-z_]+)+", advice)
    assert len(named) > 20
    assert set(named) <= ours


def test_a_name_that_another_expression_uses_is_a_variable(tmp_path: Path) -> None:
    base = tmp_path / "base.py"
    base.write_text("side = 64\n")
    path = config(
        tmp_path, "_base_ = 'base.py'\nlr = 1e-4\noptimizer = dict(lr=lr)\ndata = dict(image_size=[side] * 2)"
    )
    settings = load_settings(path)
    assert (settings.optimizer.lr, settings.data.image_size) == (1e-4, (64, 64))
    assert "unknown key lr. Write optimizer.lr." in failure(config(tmp_path, "lr = 1e-4"))


def test_a_windows_path_with_escapes_is_refused(tmp_path: Path) -> None:
    message = failure(config(tmp_path, 'data_root = "D:\\data\\nuScenes"'.replace("\\\\", "\\")))
    assert "a backslash with a letter is an escape in quotes" in message
    assert load_settings(config(tmp_path, "data_root = r'D:\\data\\nuScenes'")).data_root == Path(
        "D:\\data\\nuScenes"
    )


def test_a_configuration_of_another_framework_is_told_where_to_start(tmp_path: Path) -> None:
    path = config(
        tmp_path, "\n".join(f"{key} = 1" for key in ("fp16", "work_dir", "workflow", "gpu_ids", "a", "b"))
    )
    head, *lines = failure(path).splitlines()
    assert "Start from _base_ = ['baseline/lss_swin_nuscenes.py']" in head
    assert len(lines) == 6


def test_all_problems_come_in_one_message_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, "seed = -1\ndata = dict(\n    camera='all',\n    mask='x',\n)")
    head, *lines = failure(path, "runner.max_iters=0").splitlines()
    assert head == f"{path}: 4 problems"
    places = ["--set runner.max_iters=0: runner.max_iters", f"{path}:2: seed", f"{path}:4: ", f"{path}:5: "]
    for line, place in zip(lines, sorted(places), strict=True):
        assert line.startswith(f"  {place}")


def test_a_problem_in_a_base_points_into_the_base(tmp_path: Path) -> None:
    base = tmp_path / "base.py"
    base.write_text("\n\nseed = 'x'\n")
    assert failure(config(tmp_path, "_base_ = 'base.py'")).startswith(f"{base}:3: seed: ")


def test_a_wrong_key_points_to_the_key_and_a_wrong_value_to_the_value(tmp_path: Path) -> None:
    path = config(
        tmp_path, "_two = '2'\ndata = dict(\n    sampels_per_gpu=_two,\n    workers_per_gpu=_two,\n)"
    )
    _, wrong_value, wrong_key = failure(path).splitlines()
    assert wrong_value.startswith(f"  {path}:2: data.workers_per_gpu: ")
    assert wrong_key.startswith(f"  {path}:4: unknown key data.sampels_per_gpu")


def test_a_missing_data_root_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("seed = 1\n")
    message = failure(path, "seed=2")
    assert message.startswith(f"{path}: data_root is missing")
    assert "img_dir" in message
    assert load_settings(path, ["data_root=/data/nuScenes"]).data_root == Path("/data/nuScenes")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("data.samples_per_gpu=2", "data.samples_per_gpu", 2),
        ("runner.max_iters=20 * 1000", "runner.max_iters", 20_000),
        ("precision=fp16", "precision", "fp16"),
        ("precision='fp16'", "precision", "fp16"),
        ("data_root=/a b/c=d", "data_root", Path("/a b/c=d")),
        ("model.backbone.pretrained=weights/swin.pth", "model.backbone.pretrained", "weights/swin.pth"),
        ("model.backbone.pretrained=None", "model.backbone.pretrained", None),
        ("data.image_size=[300, 400]", "data.image_size", (300, 400)),
        ("data=dict(workers_per_gpu=0)", "data.workers_per_gpu", 0),
        ("optimizer_config.grad_clip.max_norm=1", "optimizer_config.grad_clip.max_norm", 1),
    ],
)
def test_overrides_are_literals_or_else_text(override: str, key: str, value: object) -> None:
    result: Any = load_settings(DEMO, ["optimizer_config.grad_clip=None", override])
    for part in key.split("."):
        result = getattr(result, part)
    assert result == value


def test_an_override_leaves_everything_else_and_the_last_one_wins() -> None:
    plain = load_settings(DEMO).model_dump(mode="json")
    changed = load_settings(DEMO, ["data.samples_per_gpu=9", "data.samples_per_gpu=2"]).model_dump(
        mode="json"
    )
    assert isinstance(plain["data"], dict)
    assert changed == {**plain, "data": {**plain["data"], "samples_per_gpu": 2}}


def test_wrong_overrides_are_named() -> None:
    assert failure(DEMO, "data.sampels_per_gpu=2") == (
        "--set data.sampels_per_gpu=2: unknown key data.sampels_per_gpu; did you mean samples_per_gpu?"
    )
    assert failure(DEMO, "seed=true") == (
        "--set seed=true: seed: expected a whole number of at least 0, found 'true'"
    )
    assert "key=value" in failure(DEMO, "seed")
    assert "key=value" in failure(DEMO, "data..x=1")


def test_a_relative_data_root_stays_relative_and_home_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings(DEMO).data_root == Path("data/nuScenes")
    assert load_settings(DEMO, ["data_root=~/nuScenes"]).data_root == tmp_path / "nuScenes"


def test_a_file_on_disk_comes_before_a_preset_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings("baseline/lss_swin_demo.py").seed == 0
    Path("baseline").mkdir()
    Path("baseline/lss_swin_demo.py").write_text("data_root = 'x'\nseed = 5\n")
    assert load_settings("baseline/lss_swin_demo.py").seed == 5


def test_a_missing_file_lists_near_names_and_presets(tmp_path: Path) -> None:
    config(tmp_path, "")
    message = failure(tmp_path / "confg.py")
    assert f"Did you mean {tmp_path / 'config.py'}?" in message
    assert "baseline/lss_swin_nuscenes.py" in message
    assert "the preset baseline/lss_swin_nuscenes.py" in failure("configs/baseline/lss_swin_nuscene.py")
    assert "not a file" in failure(tmp_path)
    assert "no such file" in failure("a" * 5000)
    assert "no such file" in failure("a\0b")


@given(key=st.text(max_size=8), value=st.text(max_size=12))
def test_any_override_is_settings_or_one_error(key: str, value: str) -> None:
    for name in (key, f"data.{key}", "data_root", "seed"):
        try:
            assert isinstance(load_settings(DEMO, [f"{name}={value}"]), Settings)
        except UsageError as error:
            assert "--set" in str(error)  # noqa: PT017 - both outcomes are fine, a traceback is not


_TEXT = st.text(max_size=20)
_POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
_SETTINGS = st.fixed_dictionaries(
    {
        "data_root": _TEXT.filter(lambda text: not text.startswith("~")),
        "model": st.fixed_dictionaries(
            {
                "backbone": st.fixed_dictionaries(
                    {"name": _TEXT, "pretrained": st.none() | _TEXT, "out_stage": st.integers(-5, 5)}
                ),
                "head": st.fixed_dictionaries({"planes": st.tuples(st.integers(1, 9), st.integers(1, 9))}),
            }
        ),
        "optimizer": st.fixed_dictionaries({"lr": _POSITIVE, "weight_decay": _POSITIVE}),
        "optimizer_config": st.fixed_dictionaries(
            {"grad_clip": st.none() | st.fixed_dictionaries({"max_norm": _POSITIVE})}
        ),
        "precision": st.sampled_from(["bf16", "fp16", "fp32"]),
        "deterministic": st.booleans(),
        "seed": st.integers(0, 2**63 - 1),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=_SETTINGS)
def test_dumped_settings_load_as_they_were(tmp_path: Path, values: dict[str, object]) -> None:
    original = Settings.model_validate(values)
    path = tmp_path / "dumped.py"
    path.write_text(dump_config(original), encoding="utf-8")
    assert load_settings(path) == original
    assert Settings.model_validate(original.model_dump(mode="json")) == original


def test_types_are_described_in_words() -> None:
    assert expected(int | None) == "a whole number or None"
    assert expected(tuple[int, str]) == "a list of 2 values, each a whole number or text in quotes"
    assert expected(tuple[float, ...]) == "a list of values, each a number"
    assert expected(BackboneSettings) == "a group of settings, dict(key=value)"


def test_loading_settings_imports_nothing_heavy() -> None:
    heavy = {"torch", "timm", "nuscenes", "matplotlib", "cv2", "scipy", "numpy", "shapely"}
    code = f"import sys, diffbev_engine.config.load; print(sorted({heavy!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
