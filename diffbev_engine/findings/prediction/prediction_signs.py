"""Signatures of predictions: the table behind "mIoU stays around 0.046"."""

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.classes import CLASSES
from diffbev_engine.findings.finding import Finding
from diffbev_engine.findings.prediction.causes import cause
from diffbev_engine.findings.prediction.predictions import PredictionSurvey
from diffbev_engine.findings.prediction.transforms import BY_NAME, IDENTITY

COLLAPSE = 0.95
"""Share of the positive predictions above which one class is a collapse."""
_EVERYWHERE = 0.99
_INITIAL_GAP = 1e-3
_DEAD_SPREAD = 1e-3
_UNANIMOUS, _VARIED_TRUTH = 0.995, 0.9
_AXES_GAIN, _AXES_RATIO, _AXES_IMAGES = 0.02, 1.5, 0.7
_AXES_GAIN_OF_PREDICTED = 0.1
"""In IoU, over the classes that are predicted: the mean over all of them hides a gain in one."""
_MOSTLY, _NOTHING_ELSE = 0.8, 0.02
"""Share of drivable area in the positives, and recall of all other classes together: above the one and
below the other, only drivable area has been learned. Stray positives of other classes come early."""


def prediction_findings(survey: PredictionSurvey) -> list[Finding]:
    """The signature that a model shows, or none; one that explains the others comes alone."""
    for sign in (_not_finite, _all_negative, _all_positive, _constant):
        found = sign(survey)
        if found:
            return [found]
    signs = (_axes(survey), _drivable_only(survey) or _collapse(survey))
    findings = [finding for finding in signs if finding]
    last = _no_better(survey)
    return findings or ([last] if last else [])


def collapsed(survey: PredictionSurvey) -> bool:
    """True when one class covers more than 95 % of the positive predictions."""
    return survey.top[1] > COLLAPSE


def _not_finite(survey: PredictionSurvey) -> Finding | None:
    if survey.finite:
        return None
    evidence = Bilingual(
        "有的输出不是有限数，它们被计为负", "some outputs are not finite numbers; they count as negative"
    )
    return cause("not_finite", evidence)


def _all_negative(survey: PredictionSurvey) -> Finding | None:
    if any(count.predicted for count in survey.result.counts):
        return None
    evidence = [
        Bilingual(
            f"{survey.images} 张图像中没有一个正预测，TP=0，最高分 {survey.highest_score:.4f}（阈值 0.5）",
            f"no positive prediction in {survey.images} images, TP=0; "
            f"the highest score is {survey.highest_score:.4f} (threshold 0.5)",
        )
    ]
    if survey.prior_gap < _INITIAL_GAP:
        evidence.append(
            Bilingual(
                "每个分数都等于该类的先验：这是未训练模型的初始状态",
                "every score equals the prior of its class: the initial state of an untrained model",
            )
        )
    elif survey.spread < _DEAD_SPREAD:
        evidence.append(
            Bilingual(
                f"每一类的分数处处相同（最大差 {survey.spread:.1e}）：分类头失效",
                f"the scores of each class are identical everywhere (range {survey.spread:.1e}): dead head",
            )
        )
    return cause("all_negative", *evidence)


def _all_positive(survey: PredictionSurvey) -> Finding | None:
    pairs = zip(survey.result.counts, survey.result.cells, strict=True)
    shares = [count.predicted / cells for count, cells in pairs if cells]
    if not shares or min(shares) < _EVERYWHERE:
        return None
    missed = sum(count.false_negative for count in survey.result.counts)
    reference = survey.references["all_positive"].miou
    evidence = Bilingual(
        f"每一类都在至少 {min(shares):.1%} 的可见单元上为正，FN 共 {missed}；"
        f"mIoU {survey.result.miou:.4f}，全正答案的 mIoU 为 {reference:.4f}",
        f"every class is positive in at least {min(shares):.1%} of the visible cells, FN {missed} in all; "
        f"mIoU {survey.result.miou:.4f}, that of an all-positive answer is {reference:.4f}",
    )
    return cause("all_positive", evidence)


def _constant(survey: PredictionSurvey) -> Finding | None:
    if survey.images < 2 or survey.unanimous < _UNANIMOUS or survey.unanimous_truth > _VARIED_TRUTH:
        return None
    number, share = survey.top
    evidence = [
        Bilingual(
            f"曾为正的单元中有 {survey.unanimous:.1%} 在全部 {survey.images} 张图像中都为正"
            f"（标签中为 {survey.unanimous_truth:.1%}）",
            f"{survey.unanimous:.1%} of the cells predicted positive at least once are positive in "
            f"all {survey.images} images ({survey.unanimous_truth:.1%} in the labels)",
        )
    ]
    if share > COLLAPSE:
        reference = survey.references["drivable_only"].miou
        evidence.append(
            Bilingual(
                f"其中 {share:.1%} 为 {CLASSES[number]}；“全部可行驶”答案的 mIoU 为 {reference:.4f}，"
                f"此处为 {survey.result.miou:.4f}",
                f'{share:.1%} of them are {CLASSES[number]}; the answer "all drivable" has mIoU '
                f"{reference:.4f}, here it is {survey.result.miou:.4f}",
            )
        )
    one_class = share > COLLAPSE >= survey.truth_share(number)
    return cause("collapse" if one_class else "constant", *evidence)


def _axes(survey: PredictionSurvey) -> Finding | None:
    plain = survey.result.miou
    best = max(survey.changed, key=lambda name: survey.changed[name].miou)
    miou, wins = survey.changed[best].miou, survey.wins[best]
    of_predicted = _iou_of_predicted(survey, best) - _iou_of_predicted(survey, IDENTITY)
    better = miou > max(plain + _AXES_GAIN, _AXES_RATIO * plain) or of_predicted > _AXES_GAIN_OF_PREDICTED
    if best == IDENTITY or not better or wins < _AXES_IMAGES * survey.images:
        return None
    text = BY_NAME[best].text
    evidence = Bilingual(
        f"预测{text.zh}之后 mIoU 由 {plain:.4f} 升至 {miou:.4f}，{survey.images} 张图像中有 {wins} 张更好",
        f"with the prediction {text.en}, mIoU rises from {plain:.4f} to {miou:.4f}, "
        f"and {wins} of {survey.images} images score better",
    )
    return cause("prediction_axes", evidence)


def _iou_of_predicted(survey: PredictionSurvey, change: str) -> float:
    """Mean IoU, with the axes changed, over the classes of the labels that the model predicts at all."""
    pairs = zip(survey.result.counts, survey.changed[change].counts, strict=True)
    found = [changed.iou or 0.0 for plain, changed in pairs if plain.predicted and plain.truth]
    return sum(found) / len(found) if found else 0.0


def _drivable_only(survey: PredictionSurvey) -> Finding | None:
    number, share = survey.top
    drivable, *others = survey.result.counts
    truth = sum(count.truth for count in others)
    recall = sum(count.true_positive for count in others) / truth if truth else 1.0
    if number != 0 or share <= _MOSTLY or recall >= _NOTHING_ELSE:
        return None
    evidence = Bilingual(
        f"正预测中 {share:.1%} 为 drivable_area（标签中为 {survey.truth_share(0):.1%}），"
        f"其 IoU {drivable.iou or 0:.4f}；其余 13 类合计召回率 {recall:.4f}",
        f"{share:.1%} of the positive predictions are drivable_area ({survey.truth_share(0):.1%} in the "
        f"labels), IoU {drivable.iou or 0:.4f}; the other 13 classes have a recall of {recall:.4f} together",
    )
    return cause("drivable_only", evidence)


def _collapse(survey: PredictionSurvey) -> Finding | None:
    number, share = survey.top
    truth = survey.truth_share(number)
    if share <= COLLAPSE or truth > COLLAPSE:  # where the labels are so too, that is no fault
        return None
    evidence = Bilingual(
        f"正预测中 {share:.1%} 为 {CLASSES[number]}，而标签中只占 {truth:.1%}",
        f"{share:.1%} of the positive predictions are {CLASSES[number]}, but only {truth:.1%} of the labels",
    )
    return cause("collapse", evidence)


def _no_better(survey: PredictionSurvey) -> Finding | None:
    names = ("all_positive", "drivable_only")
    best = max(names, key=lambda name: survey.references[name].miou)
    reference, miou = survey.references[best].miou, survey.result.miou
    evidence = []
    if survey.result.averaged_classes and miou <= reference:
        words = {
            "all_positive": ("全部为正", "all positive"),
            "drivable_only": ("全部可行驶", "all drivable"),
        }
        zh, en = words[best]
        evidence.append(
            Bilingual(
                f"mIoU {miou:.4f}；不看图像、{zh}的答案为 {reference:.4f}",
                f'mIoU {miou:.4f}; the answer "{en}", without a look at the image, has {reference:.4f}',
            )
        )
    number = max(range(len(CLASSES)), key=survey.truth_share)
    iou, everywhere = (
        score.counts[number].iou for score in (survey.result, survey.references["all_positive"])
    )
    if iou is not None and everywhere is not None and iou < everywhere:
        name = CLASSES[number]
        evidence.append(
            Bilingual(
                f"标签中最多的类别 {name} 的 IoU {iou:.4f}；处处为正的答案为 {everywhere:.4f}",
                f"{name}, the most frequent class of the labels, has IoU {iou:.4f}; "
                f"{everywhere:.4f} if it were positive everywhere",
            )
        )
    return cause("no_better_than_constant", *evidence) if evidence else None
