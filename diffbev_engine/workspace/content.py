"""What a workspace contains: the packaged presets, and entry points made from templates."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.config.presets_index import PRESETS_DIR
from diffbev_engine.workspace.workspace import BASELINE_CONFIG, DIFFBEV_CONFIG

_TEMPLATES = Path(__file__).with_name("templates")
_BASELINE, _DIFFBEV = str(BASELINE_CONFIG), str(DIFFBEV_CONFIG)
_DATASET = "configs/_base_/datasets/nuscene.py"

_DATA_ROOT = re.compile(r'^data_root = ".*"$', re.MULTILINE)
_CAMERAS = re.compile(r'^( *)# .*\n    cameras="all",$', re.MULTILINE)
_FRONT = """\
    # 'front'：只用前视相机（步骤 4.0 只为 CAM_FRONT 生成深度真值）；'all'：全部，步骤 4.0 要用 --cameras all
    # 'front': step 4.0 makes depth for CAM_FRONT alone; 'all': every camera, with --cameras all there
    cameras="front","""


@dataclass(frozen=True)
class Tool:
    """An entry point below ``tools/``: a command of ``diffbev-engine`` under the runbook's name."""

    path: str
    command: str
    title: str
    usage: str


TOOLS = (
    Tool("tools/train.py", "train", "训练 / Train a model", "CONFIG --work-dir DIR --gpu-ids 0"),
    Tool(
        "tools/plot_metrics.py",
        "plot-metrics",
        "指标对比图 / Comparison plots of runs",
        "RUN... --output-dir DIR --experiment-names NAME...",
    ),
    Tool(
        "tools/vis_nuscenes_bev.py",
        "visualize",
        "BEV 可视化对比 / BEV pictures side by side",
        "CONFIG CHECKPOINT --diffbev-config FILE --diffbev-checkpoint FILE --indices N... --work-dir DIR",
    ),
    Tool(
        "tools/data/prepare_nuscenes_depth_gt.py",
        "prepare-depth",
        "生成深度真值 / LiDAR depth ground truth",
        "--nuscenes-root DIR --output-dir DIR --split train --img-dir DIR --cameras CAM_FRONT",
    ),
    Tool(
        "tools/debug/check_depth_gt.py",
        "check-depth",
        "深度真值自检 / Depth as the data loader outputs it",
        "--config FILE",
    ),
    Tool(
        "tools/debug/diagnose_segmentation.py",
        "diagnose",
        "分割诊断 / What is wrong with a segmentation",
        "--config FILE --checkpoint FILE --num-samples 50 --vis-num 0 --out-dir DIR",
    ),
)


@dataclass(frozen=True)
class FileContent:
    """One file of a workspace."""

    text: str
    executable: bool = False


def workspace_files(data_root: Path, *, demo: bool) -> dict[str, FileContent]:
    """Every file of a workspace but ``workspace.toml``, by relative path with ``/``.

    Args:
        data_root: absolute; becomes ``data_root`` of the configurations.
        demo: configurations that a CPU trains in minutes.
    """
    return {
        **_configs(data_root, demo=demo),
        **_scripts(),
        **{tool.path: _tool(tool) for tool in TOOLS},
    }


def _configs(data_root: Path, *, demo: bool) -> dict[str, FileContent]:
    texts = {
        f"configs/{path.relative_to(PRESETS_DIR).as_posix()}": path.read_text(encoding="utf-8")
        for path in sorted((PRESETS_DIR / "_base_").rglob("*.py"))
    }
    texts[_DATASET] = _replaced(_DATA_ROOT, f"data_root = {_quoted(data_root)}", texts[_DATASET])
    texts[_DATASET] = _replaced(_CAMERAS, _FRONT, texts[_DATASET])
    texts |= _demo_configs() if demo else {path: _preset(path) for path in (_BASELINE, _DIFFBEV)}
    return {path: FileContent(text) for path, text in texts.items()}


def _demo_configs() -> dict[str, str]:
    """The demo presets, and under the names of the runbook what makes them short enough."""
    baseline, diffbev = "configs/baseline/lss_swin_demo.py", "configs/diffbev/diffbev_lss_swin_demo.py"
    return {
        baseline: _preset(baseline),
        diffbev: _preset(diffbev),
        "configs/_base_/demo.py": _filled("demo.py.in"),
        _BASELINE: _demo_config("Baseline", baseline, "demo/baseline"),
        _DIFFBEV: _demo_config("DiffBEV", diffbev, "demo/diffbev"),
    }


def _demo_config(title: str, preset: str, weights: str) -> str:
    return _filled("demo_config.py.in", TITLE=title, PRESET=Path(preset).name, WEIGHTS=weights)


def _scripts() -> dict[str, FileContent]:
    variants = (
        ("baseline", "Baseline", "3.2", _BASELINE, "runs/baseline"),
        ("diffbev", "DiffBEV", "4.2", _DIFFBEV, "runs/diffbev_default"),
    )
    return {
        f"scripts/training/run_{name}_nuscenes.sh": FileContent(
            _filled("run_training.sh.in", NAME=name, TITLE=title, STEP=step, CONFIG=config, WORK_DIR=run),
            executable=True,
        )
        for name, title, step, config, run in variants
    }


def _tool(tool: Tool) -> FileContent:
    text = _filled("tool.py.in", PATH=tool.path, COMMAND=tool.command, TITLE=tool.title, USAGE=tool.usage)
    return FileContent(text, executable=True)


def _preset(path: str) -> str:
    """The preset that has its place at ``path`` of a workspace."""
    return (PRESETS_DIR / Path(path).relative_to("configs")).read_text(encoding="utf-8")


def _quoted(path: Path) -> str:
    """A string of a configuration file; JSON writes it as Python does."""
    return json.dumps(str(path), ensure_ascii=False)


def _filled(template: str, **values: str) -> str:
    """The template with every ``@NAME@`` replaced; ``$`` and ``{}`` belong to shell and Python."""
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)


def _replaced(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    by: Callable[[re.Match[str]], str] = lambda _match: replacement  # noqa: E731 - no escapes in paths
    text, count = pattern.subn(by, text)
    assert count == 1, f"{pattern.pattern!r} occurs {count} times in the preset"
    return text
