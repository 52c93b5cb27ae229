"""A finished diagnosis, as a summary for people and as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from diffbev_engine.core.bilingual import Bilingual, Language
from diffbev_engine.core.classes import CLASS_PRIORS, CLASSES
from diffbev_engine.evaluate.result import MASK_NAMES, provenance_text
from diffbev_engine.findings.finding import Finding
from diffbev_engine.findings.prediction.causes import HEALTHY, cause, findings_json
from diffbev_engine.findings.prediction.labels import LabelSurvey
from diffbev_engine.findings.prediction.prediction_signs import collapsed
from diffbev_engine.findings.prediction.predictions import PredictionSurvey

_HARDLY_BETTER = 1.2
"""Times the mIoU of a constant answer below which a healthy score is called close to it."""


@dataclass(frozen=True)
class Diagnosis:
    """Labels, predictions, and what they mean."""

    labels: LabelSurvey
    predictions: PredictionSurvey | None
    """``None`` where no label is fit to score a model."""
    findings: tuple[Finding, ...]
    """The cause first; never empty, ``healthy`` is one too."""
    provenance: dict[str, Any]
    """Configuration, checkpoint, sample and how the labels were made."""
    pictures: tuple[str, ...] = ()
    """Files."""

    @property
    def cause(self) -> str:
        """The first finding's."""
        return self.findings[0].id

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file, in both languages."""
        return {
            "verdict": self.cause,
            "findings": findings_json(self.findings),
            "mIoU": self.predictions.result.miou if self.predictions else None,
            "overall_accuracy": self.predictions.accuracy if self.predictions else None,
            "collapsed": collapsed(self.predictions) if self.predictions else None,
            "predictions": self.predictions.to_json() if self.predictions else None,
            "labels": self.labels.to_json(),
            "pictures": list(self.pictures),
            "provenance": self.provenance,
        }

    def to_text(self, language: Language) -> str:
        """The content of ``summary.txt``."""
        made = self.provenance
        lines = [
            f"config      {made['config']}",
            f"checkpoint  {made['checkpoint']}",
            Bilingual(
                f"样本        {made['data_root']} 的 {made['part']} 划分：{made['split_samples']} 个中的 "
                f"{made['samples']} 个，随机种子 {made['seed']}",
                f"sample      {made['samples']} of {made['split_samples']} images of the {made['part']} "
                f"split of {made['data_root']}, seed {made['seed']}",
            )[language],
            provenance_text({key: value for key, value in made.items() if key != "part"}),
            "",
            *(text[language] for text in self._label_lines()),
            "",
            *(text[language] for text in self._prediction_lines()),
            "",
            *self._verdict_lines(language),
        ]
        return "\n".join(lines)

    def _label_lines(self) -> list[Bilingual]:
        labels = self.labels
        if not labels.cells:
            return [Bilingual("标签：没有一个可以读取", "labels: none could be read")]
        fit = sum(view.fits_its_camera for view in labels.views)
        separation = labels.mean_separation().get("identity", 0.0)
        views = len(labels.views)
        return [
            Bilingual(
                f"标签：读取 {len(labels.readable)}/{labels.images} 个，可见单元 {labels.visible:.3f}，"
                f"最大值 {labels.highest}，矛盾的忽略位 {labels.contradictory:.2%}",
                f"labels: {len(labels.readable)} of {labels.images} read, visible cells "
                f"{labels.visible:.3f}, highest value {labels.highest}, "
                f"contradictory ignore bits {labels.contradictory:.2%}",
            ),
            Bilingual(
                f"标定：{views} 个可比较的标签中 {fit} 个与内参视锥吻合，吻合度 {separation:+.2f}",
                f"calibration: {fit} of {views} comparable labels match the field of view given by "
                f"their intrinsics; agreement {separation:+.2f} (+1 is perfect)",
            ),
            self._sight_line(),
        ]

    def _sight_line(self) -> Bilingual:
        plain, mirrored = self.labels.mean_sight("plain"), self.labels.mean_sight("mirrored")
        if plain is None or mirrored is None:
            return Bilingual(
                "左右：没有可比较的 LiDAR 深度，只凭标签无法发现左右翻转（先运行 prepare-depth）",
                "left/right: no LiDAR depth to compare with; labels alone cannot reveal a "
                "left-right flip (run `prepare-depth` first)",
            )
        count = len(self.labels.sights)
        return Bilingual(
            f"左右：{count} 个标签的可视距离与 LiDAR 深度的相关性 {plain:+.2f}，左右翻转后 {mirrored:+.2f}",
            f"left/right: visible range of {count} labels vs. LiDAR depth: correlation "
            f"{plain:+.2f}, mirrored {mirrored:+.2f}",
        )

    def _prediction_lines(self) -> Iterable[Bilingual]:
        survey = self.predictions
        if survey is None:
            return [Bilingual("模型未运行：没有可用的标签", "the model was not run: no usable labels")]
        number, share = survey.top
        flag = collapsed(survey)
        answers = ", ".join(f"{name} {score.miou:.4f}" for name, score in survey.references.items())
        accuracy, miou, classes = survey.accuracy, survey.result.miou, survey.result.averaged_classes
        return [
            Bilingual(
                f"分布与 IoU（{survey.images} 张图像，忽略掩码 {survey.mask}；占可见单元的比例）",
                f"distributions and IoU ({survey.images} images, ignore mask {survey.mask}: "
                f"{MASK_NAMES[survey.mask]}; shares of the visible cells)",
            ),
            *(Bilingual(line, line) for line in _table(survey)),
            Bilingual(
                f"mIoU {miou:.4f}（{classes} 个类别的平均）", f"mIoU {miou:.4f} (mean of {classes} classes)"
            ),
            Bilingual(f"overall acc {accuracy:.4f}", f"overall acc {accuracy:.4f}"),
            Bilingual(
                f"塌缩（单一类别占正预测 >95%）：{'是' if flag else '否'}，最多的是 {CLASSES[number]} "
                f"{share:.1%}，标签中占 {survey.truth_share(number):.1%}",
                f"collapse (one class above 95% of the positive predictions): {'YES' if flag else 'no'}, "
                f"the top class is {CLASSES[number]} with {share:.1%} ({survey.truth_share(number):.1%} of "
                "the labels)",
            ),
            Bilingual(
                f"指标自检（无需模型的平凡预测）mIoU：{answers}",
                f"metric self-test, mIoU of trivial predictions: {answers}",
            ),
        ]

    def _verdict_lines(self, language: Language) -> list[str]:
        words = {"zh": ("结论", "另外", "依据", "下一步"), "en": ("verdict", "also", "evidence", "next")}
        verdict, also, evidence, action = words[language]
        lines = []
        for number, finding in enumerate(self.findings):
            lines.append(f"{also if number else verdict}: {finding.title[language]} [{finding.id}]")
            lines += [f"  {evidence}: {text[language]}" for text in finding.evidence]
            lines.append(f"  {action}: {finding.advice[language]}")
        return lines


def healthy(labels: LabelSurvey, predictions: PredictionSurvey) -> Finding:
    """The verdict where nothing is wrong, with the numbers that say so."""
    number, share = predictions.top
    reference = max(predictions.references[name].miou for name in ("all_positive", "drivable_only"))
    fit = sum(view.fits_its_camera for view in labels.views)
    miou = predictions.result.miou
    evidence = Bilingual(
        f"mIoU {miou:.4f}，恒定答案最多 {reference:.4f}；正预测最多的类别 {CLASSES[number]} 占 {share:.1%}；"
        f"{len(labels.views)} 个标签中 {fit} 个与标定吻合",
        f"mIoU {miou:.4f} (best constant prediction: {reference:.4f}); the most frequent class "
        f"{CLASSES[number]} accounts for {share:.1%} of the positives; {fit} of {len(labels.views)} "
        f"labels match their calibration",
    )
    lines = [evidence]
    if miou < _HARDLY_BETTER * reference:
        lines.append(
            Bilingual(
                "仅略好于恒定答案：训练还不够久，或请与基线比较",
                "only slightly better than a constant prediction: train longer and compare with a baseline",
            )
        )
    missed = [name for name, count in zip(CLASSES, predictions.result.counts, strict=True) if count.iou == 0]
    if missed:
        lines.append(
            Bilingual(
                f"漏检的类别（样本过少或训练不足）：{', '.join(missed)}",
                f"missed classes (too few samples or too little training): {', '.join(missed)}",
            )
        )
    return cause(HEALTHY, *lines)


def _table(survey: PredictionSurvey) -> list[str]:
    heads = ("GT", "prior", "Pred", "IoU")
    numbers = ("TP", "FP", "FN")
    lines = [f"{'class':<21}" + "".join(f"{h:>9}" for h in heads) + "".join(f"{n:>12}" for n in numbers)]
    rows = zip(CLASSES, survey.result.counts, survey.result.cells, CLASS_PRIORS, strict=True)
    for name, count, cells, prior in rows:
        if cells:
            shares = f"{count.truth / cells:>9.5f}{prior:>9.5f}{count.predicted / cells:>9.5f}"
        else:
            shares = f"{'–':>9}{prior:>9.5f}{'–':>9}"
        iou = "–" if count.iou is None else f"{count.iou:.4f}"
        outcomes = (count.true_positive, count.false_positive, count.false_negative)
        lines.append(f"{name:<21}{shares}{iou:>9}" + "".join(f"{outcome:>12,}" for outcome in outcomes))
    return lines
