"""The causes that a diagnosis can name: what each is called, and what to do next."""

from collections.abc import Sequence
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.finding import Finding, Remedy, Severity, Subject

HEALTHY = "healthy"
_REMAKE = Bilingual(
    "删除有问题的标签，重新运行 `diffbev-engine prepare`，然后重新训练",
    "Delete the broken labels, run `diffbev-engine prepare` again, then retrain from scratch",
)
_CALIB = Bilingual(
    "检查 calib.json：每个 token 应对应其相机在原始图像分辨率下的内参；"
    "用 `diffbev-engine prepare` 重新生成，然后重新训练",
    "Check calib.json: for each token it must hold the intrinsics of that token's camera at the "
    "original image resolution. Recreate it with `diffbev-engine prepare`, then retrain from "
    "scratch",
)
_OVERFIT = Bilingual(
    "先只用 Lwce 过拟合一个样本（出现的类别 IoU 应在约 1000 次迭代内 >0.9），再加 Ldepth，最后加 Ldiff",
    "Overfit one sample with Lwce alone (the classes in it should pass IoU 0.9 within about 1000 "
    "iterations), then add Ldepth, then Ldiff",
)

CAUSES: dict[str, tuple[Bilingual, Bilingual]] = {
    "truncated_labels": (
        Bilingual(
            "标签被截断为 8 位：类别 8–13 与忽略位丢失",
            "labels truncated to 8 bits: classes 8-13 and the ignore bits are lost",
        ),
        Bilingual(
            "标签必须是 16 位 PNG，用 cv2.IMREAD_UNCHANGED 读取，不可转为 uint8。" + _REMAKE.zh,
            "Labels are 16-bit PNGs, to be read with cv2.IMREAD_UNCHANGED and never cast to uint8. "
            + _REMAKE.en,
        ),
    ),
    "unreadable_labels": (Bilingual("标签文件无法使用", "unusable label files"), _REMAKE),
    "ignore_bit_missing": (
        Bilingual(
            "标签没有忽略位：不可见的单元也被计分",
            "labels have no ignore bit: invisible cells are scored too",
        ),
        Bilingual(
            "生成标签时写入第 14 位（不可见=1）。" + _REMAKE.zh,
            "Write bit 14 (1 = not visible). " + _REMAKE.en,
        ),
    ),
    "out_of_range_bits": (
        Bilingual("标签含有不可能的位组合（越界值）", "labels with impossible bits (values out of range)"),
        Bilingual(
            "检查标签的编码：每类一位，没有 255 之类的 ignore_index，也没有 reduce_zero_label。" + _REMAKE.zh,
            "Check how the labels are encoded: one bit a class, no ignore_index such as 255, no "
            "reduce_zero_label. " + _REMAKE.en,
        ),
    ),
    "inverted_ignore": (
        Bilingual("忽略掩码取反：可见区域被忽略", "ignore mask is inverted: visible cells are ignored"),
        Bilingual(
            "忽略位为 1 表示不可见；反转后重写标签。" + _REMAKE.zh,
            "A set bit means not visible. " + _REMAKE.en,
        ),
    ),
    "label_axes": (
        Bilingual("标签的坐标轴互换或翻转", "label axes are swapped or flipped"),
        Bilingual(
            "标签为 196 行×200 列，第 0 行最靠近相机，第 0 列在最左。" + _REMAKE.zh,
            "Labels have 196 rows and 200 columns; row 0 is nearest to the camera, column 0 is on the left. "
            + _REMAKE.en,
        ),
    ),
    "calibration_scale": (
        Bilingual("内参的尺度与图像不符", "intrinsics do not match the image resolution"),
        _CALIB,
    ),
    "calibration_pairing": (
        Bilingual(
            "内参与 token 对应错误：属于另一个相机",
            "intrinsics are assigned to the wrong token (they belong to another camera)",
        ),
        _CALIB,
    ),
    "calibration_mismatch": (
        Bilingual("内参与标签的可视范围不符", "intrinsics do not match the field of view of the labels"),
        _CALIB,
    ),
    "not_finite": (
        Bilingual("模型输出含 NaN 或无穷大", "model output contains NaN or Inf"),
        Bilingual(
            "回到发散之前的检查点，降低学习率",
            "Go back to a checkpoint before the divergence and lower the learning rate",
        ),
    ),
    "all_negative": (
        Bilingual(
            "全部预测为负（初始状态或分类头失效）",
            "all predictions negative (untrained weights or dead head)",
        ),
        Bilingual(
            "确认检查点经过训练且与配置一致；检查 loss 是否传到分类头、训练时的忽略掩码是否反了。"
            + _OVERFIT.zh,
            "Make sure that the checkpoint is a trained one; check that the loss reaches the head and that "
            "the ignore mask is not inverted in training. " + _OVERFIT.en,
        ),
    ),
    "all_positive": (
        Bilingual("全部预测为正", "all predictions positive"),
        Bilingual(
            "检查阈值（sigmoid 之后一次 >0.5）、分类头偏置与类别权重",
            "Check the threshold (once, >0.5, after the sigmoid), the bias of the head and the class weights",
        ),
    ),
    "constant": (
        Bilingual("预测恒定：与图像无关", "constant prediction: independent of the image"),
        Bilingual(
            "图像特征没有到达 BEV：检查骨干权重、lift 的内参与图像归一化。" + _OVERFIT.zh,
            "Image features do not reach the BEV: check the backbone's weights, the intrinsics of "
            "the lift and "
            "the normalisation of the images. " + _OVERFIT.en,
        ),
    ),
    "prediction_axes": (
        Bilingual("预测与标签的坐标轴不一致", "axes of prediction and label are swapped or flipped"),
        Bilingual(
            "检查标签写入与 lift 的行列约定（第 0 行最近，第 0 列最左）是否与训练时相同，修正后重新训练",
            "Check that the label writer and the lift use the same row and column convention as in "
            "training (row 0 nearest, column 0 leftmost). Fix it, then retrain from scratch",
        ),
    ),
    "drivable_only": (
        Bilingual("只学到了可行驶区域", "the model has only learned the drivable area"),
        Bilingual(
            "检查 ImageNet 权重、warm-up、类别权重与 Ldepth 的尺度；训练更久。" + _OVERFIT.zh,
            "Check ImageNet weights, warm-up, class weights and the scale of Ldepth; train longer. "
            + _OVERFIT.en,
        ),
    ),
    "collapse": (
        Bilingual(
            "预测塌缩：单一类别占比>95%",
            "collapsed predictions: one class accounts for more than 95% of the positives",
        ),
        Bilingual(
            "优先检查 loss 权重与数据标签（类别顺序、类别权重）。" + _OVERFIT.zh,
            "Check the loss weights and the labels first (order and weights of the classes). " + _OVERFIT.en,
        ),
    ),
    "no_better_than_constant": (
        Bilingual(
            "不优于恒定预测，且不符合任何已知模式",
            "no better than a constant prediction; no known failure pattern",
        ),
        _OVERFIT,
    ),
    HEALTHY: (
        Bilingual("未发现异常", "healthy"),
        Bilingual(
            "无需修复；mIoU 请用 `diffbev-engine evaluate` 在整个划分上评估",
            "Nothing to fix. Evaluate the whole split with `diffbev-engine evaluate`",
        ),
    ),
}
_OF_LABELS = ("truncated_labels", "unreadable_labels", "ignore_bit_missing", "out_of_range_bits")
_SUBJECTS: dict[str, Subject] = {
    **dict.fromkeys((*_OF_LABELS, "inverted_ignore", "label_axes"), "labels"),
    **dict.fromkeys(("calibration_scale", "calibration_pairing", "calibration_mismatch"), "data"),
}


def cause(name: str, *evidence: Bilingual) -> Finding:
    """The finding that ``name``, a key of ``CAUSES``, is the cause, with the numbers that show it."""
    title, action = CAUSES[name]
    return Finding(
        name,
        Severity.OK if name == HEALTHY else Severity.ERROR,
        _SUBJECTS.get(name, "prediction"),
        title,
        evidence,
        remedies=(Remedy(action),),
    )


def findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Plain values for a JSON file, in both languages."""
    return [
        {
            "cause": finding.id,
            "title": finding.title.to_json(),
            "evidence": [text.to_json() for text in finding.evidence],
            "action": finding.advice.to_json(),
            "severity": finding.severity.value,
            "subject": finding.subject,
            "remedies": [remedy.to_json() for remedy in finding.remedies],
        }
        for finding in findings
    ]
