"""Command lines in remedies: which are of this program, and what each changes, to be said before it runs."""

import shlex
from collections.abc import Mapping, Sequence

from diffbev_engine.core.bilingual import EMPTY, Bilingual

PROGRAM = "diffbev-engine"
NUSCENES_ROOT = "{nuscenes_root}"
"""In an argument: for whoever knows the workspace to fill in."""
_OF_THE_SHELL = "|&;<>$`*?\\\n"
"""Characters of a command that only a shell understands."""
_READS = Bilingual("只读取，不修改任何文件", "reads only; changes no file")
_CHANGES: Mapping[str, Bilingual] = {
    "prepare": Bilingual(
        "在数据根目录中补齐缺少的图像、标签、内参和索引，已有的完整文件保留",
        "creates the images, labels, intrinsics and index that the data root lacks; complete files are kept",
    ),
    "prepare-depth": Bilingual(
        "在数据根目录的 ann_bev_dir 中补齐缺少的深度真值",
        "creates the depth ground truth that ann_bev_dir of the data root lacks",
    ),
    "init": Bilingual(
        "补齐工作区中缺少的文件，您修改过的文件保留",
        "creates the files that the workspace lacks; files you changed are kept",
    ),
    "demo": Bilingual(
        "在所给目录中创建合成数据集和工作区，并运行全部流程",
        "creates a synthetic dataset and a workspace in the directory, and runs the whole runbook there",
    ),
    "preflight": _READS,
    "check-depth": _READS,
    "runs list": _READS,
    "runs show": _READS,
    "memory": Bilingual(
        "占用 GPU 数分钟，结果写入实验目录的 memory.json",
        "uses the GPU for minutes and saves memory.json in the run directory",
    ),
    "diagnose": Bilingual(
        "读取检查点，把诊断结论和样本图写入输出目录",
        "reads the checkpoint and writes a diagnosis and sample images to the output directory",
    ),
    "plot-metrics": Bilingual(
        "把对比图和 summary.md 写入输出目录，覆盖其中的旧文件",
        "writes plots and summary.md to the output directory, over older ones",
    ),
    "visualize": Bilingual(
        "把样本图写入输出目录的 vis/，覆盖其中的同名文件",
        "writes sample images to vis/ of the output directory, over those of the same name",
    ),
    "preview-labels": Bilingual(
        "把彩色标签图写入输出目录",
        "writes pictures of labels to the output directory",
    ),
    "runbook run": Bilingual(
        "运行该步骤及其未完成的前置步骤",
        "runs the step, after prerequisites that have not passed",
    ),
    "runs resume": Bilingual(
        "从最新的检查点恢复训练，在后台运行；更改的设置记录在 run.json 中",
        "resumes training from the latest checkpoint, in the background; changed settings are recorded in "
        "run.json",
    ),
    "runs stop": Bilingual(
        "保存检查点后停止训练，之后可以恢复",
        "saves a checkpoint, then ends the run; it can be resumed",
    ),
}
_REPLACES = Bilingual("；--overwrite 会替换已有文件", "; --overwrite replaces existing files")


def own_command(command: str) -> tuple[str, ...]:
    """The words of a command line of this program; empty for other programs and where a shell is needed."""
    if not command.startswith(f"{PROGRAM} ") or set(command) & set(_OF_THE_SHELL):
        return ()
    try:
        return tuple(shlex.split(command))
    except ValueError:  # a quote without its end
        return ()


def changes_of(argv: Sequence[str]) -> Bilingual:
    """What a command line of this program changes or costs; empty where that is not known."""
    words = [*argv[1:3], "", ""] if argv[:1] == (PROGRAM,) else ["", ""]
    known = _CHANGES.get(f"{words[0]} {words[1]}") or _CHANGES.get(words[0]) or EMPTY
    if known and "--overwrite" in argv:
        return Bilingual(known.zh + _REPLACES.zh, known.en + _REPLACES.en)
    return known
