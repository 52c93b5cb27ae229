"""Signatures of broken labels and calibration; they need no model."""

import statistics
from collections.abc import Sequence

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.findings.finding import Finding
from diffbev_engine.findings.prediction.causes import cause
from diffbev_engine.findings.prediction.fov_consistency import INVERTED, View
from diffbev_engine.findings.prediction.labels import CROWDED, LabelSurvey
from diffbev_engine.findings.prediction.transforms import BY_NAME, IDENTITY
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT

_CLEARLY = 0.15
"""By how much another reading of the view must separate better than the plain one."""
_SEES_BETTER, _MOST_IMAGES = 0.2, 0.8
"""By how much mirrored labels must correlate better with LiDAR, and in what share of the images. Right
labels of nuScenes and of the synthetic world have 0.6 to 0.8 against -0.3 to 0.1."""
_MISFITS = 0.05
"""Share of labels that the calibration may miss: obstacles can hide the edge of a view."""
_SAME_SCALE = 0.03
_OF_ANOTHER = 0.8
"""Share of the misfits that the camera of another token must explain."""


def label_findings(survey: LabelSurvey) -> list[Finding]:
    """What is wrong with the labels, the most basic first; what follows from a finding is skipped."""
    files = _unreadable(survey)
    if not survey.cells:
        return files
    bits = _missing_bits(survey)
    if bits:  # 255 where the ignore bits belong explains why they are missing
        return [*files, *(_impossible(survey) or bits)]
    view = _inverted(survey) or _axes(survey) or _mirrored(survey)
    if view:
        return [*files, *view]
    return [*files, *_impossible(survey), *_calibration(survey.views)]


def _unreadable(survey: LabelSurvey) -> list[Finding]:
    found = []
    if survey.eight_bit:
        count, first = len(survey.eight_bit), survey.eight_bit[0]
        evidence = Bilingual(
            f"{survey.images} 个标签中有 {count} 个是 8 位 PNG，第一个是 {first}",
            f"{count} of {survey.images} labels are 8-bit PNGs, the first is {first}",
        )
        found.append(cause("truncated_labels", evidence))
    if survey.unreadable:
        count, first = len(survey.unreadable), next(iter(survey.unreadable.values()))
        evidence = Bilingual(
            f"{survey.images} 个中有 {count} 个：{first}", f"{count} of {survey.images}: {first}"
        )
        found.append(cause("unreadable_labels", evidence))
    return found


def _missing_bits(survey: LabelSurvey) -> list[Finding]:
    ignored = [survey.bit(number) for number in (IGNORE_BIT, IGNORE_FOV_BIT)]
    if ignored[0] > 0:
        return []
    upper = [number for number in range(8, NUM_CLASSES) if survey.bit(number) > 0]
    evidence = Bilingual(
        f"{len(survey.readable)} 个标签中第 14 位（忽略）从未置位，最大值 {survey.highest}；"
        f"可见单元占 {survey.visible:.3f}（前视相机应 ≤0.61）",
        f"bit 14 (ignore) is never set in {len(survey.readable)} labels, the highest value is "
        f"{survey.highest}; {survey.visible:.3f} of the cells are visible (at most 0.61 for a front camera)",
    )
    if upper or ignored[1] > 0:
        return [cause("ignore_bit_missing", evidence)]
    lost = Bilingual("第 8–13 位（类别 8–13）也从未置位", "nor is any of the bits 8-13 (classes 8-13)")
    return [cause("truncated_labels", evidence, lost)]


def _inverted(survey: LabelSurvey) -> list[Finding]:
    separation = survey.mean_separation()
    if not separation:
        return []
    rivals = max(value for name, value in separation.items() if name != INVERTED)
    pon = statistics.fmean(view.separation_pon for view in survey.views)
    upright = separation[IDENTITY] > _CLEARLY  # bit 15 is right, so bit 14 can be judged by it
    if not (separation[INVERTED] > rivals + _CLEARLY or (upright and pon < -_CLEARLY)):
        return []
    evidence = Bilingual(
        f"可见单元在内参视锥内的占比减去视锥外的占比：第 14 位 {pon:+.2f}，应为正值（无遮挡时为 +1）；"
        f"可见单元占 {survey.visible:.3f}",
        "share of visible cells inside the camera's field of view minus that outside: "
        f"{pon:+.2f} for bit 14, should be positive (+1 where nothing is hidden); "
        f"{survey.visible:.3f} of the cells are visible",
    )
    return [cause("inverted_ignore", evidence)]


def _axes(survey: LabelSurvey) -> list[Finding]:
    separation = {name: value for name, value in survey.mean_separation().items() if name in BY_NAME}
    if not separation:
        return []
    best = max(separation, key=separation.__getitem__)
    plain = separation[IDENTITY]
    if separation[best] < plain + _CLEARLY:
        return []
    text = BY_NAME[best].text
    evidence = Bilingual(
        f"标签的可视范围与内参视锥的吻合度 {plain:+.2f}，{text.zh}之后为 "
        f"{separation[best]:+.2f}（+1 为完全吻合）",
        f"the labels' view fits the field of view of the intrinsics by {plain:+.2f}, "
        f"{text.en} by {separation[best]:+.2f} (+1 is a perfect fit)",
    )
    return [cause("label_axes", evidence)]


def _mirrored(survey: LabelSurvey) -> list[Finding]:
    """Flipped left to right: the field of view looks the same; LiDAR shows on which side the view ends."""
    plain, mirrored = survey.mean_sight("plain"), survey.mean_sight("mirrored")
    if plain is None or mirrored is None or mirrored < plain + _SEES_BETTER:
        return []
    wins = sum(sight.mirrored > sight.plain for sight in survey.sights)
    if wins < _MOST_IMAGES * len(survey.sights):
        return []
    text = BY_NAME["left_right"].text
    evidence = Bilingual(
        f"各方向上标签的可视距离与 LiDAR 深度的相关性为 {plain:+.2f}，{text.zh}之后为 {mirrored:+.2f}"
        f"（{len(survey.sights)} 张图像中有 {wins} 张更好）",
        f"visible range per direction vs. LiDAR depth: correlation {plain:+.2f}, {text.en} "
        f"{mirrored:+.2f} (better in {wins} of {len(survey.sights)} images)",
    )
    return [cause("label_axes", evidence)]


def _impossible(survey: LabelSurvey) -> list[Finding]:
    evidence = []
    if survey.contradictory:
        evidence.append(
            Bilingual(
                f"{survey.contradictory:.2%} 的单元第 15 位（视野外）置位而第 14 位（忽略）未置位",
                f"{survey.contradictory:.2%} of the cells have bit 15 (out of view) but not bit 14 (ignore)",
            )
        )
    if survey.crowded:
        evidence.append(
            Bilingual(
                f"{survey.crowded:.2%} 的单元同时属于至少 {CROWDED} 个类别；最大值 {survey.highest}"
                "（255 = 类别 0–7 全部置位）",
                f"{survey.crowded:.2%} of the cells carry {CROWDED} classes or more; the highest value is "
                f"{survey.highest} (255 would be all of the classes 0-7)",
            )
        )
    return [cause("out_of_range_bits", *evidence)] if evidence else []


def _calibration(views: Sequence[View]) -> list[Finding]:
    misfits = [view for view in views if not view.fits_its_camera]
    if not views or len(misfits) < _MISFITS * len(views):
        return []
    first = misfits[0]
    camera = first.camera
    evidence = [
        Bilingual(
            f"{len(views)} 个标签中有 {len(misfits)} 个与内参不符，例如 {camera.token}："
            f"fx {camera.fx:.1f}、cx {camera.intrinsics[0, 2]:.1f}（图像宽 {camera.width}），"
            f"而标签的视锥对应 fx {first.fx:.1f}、cx {first.cx:.1f}",
            f"{len(misfits)} of {len(views)} labels do not fit, such as {camera.token}: "
            f"fx {camera.fx:.1f}, cx {camera.intrinsics[0, 2]:.1f} for an image {camera.width} pixels wide, "
            f"but the field of view of its label needs fx {first.fx:.1f}, cx {first.cx:.1f}",
        )
    ]
    explained = sum(_fits_another(view, views) for view in misfits)
    if explained >= _OF_ANOTHER * len(misfits):
        evidence.append(
            Bilingual(
                f"其中 {explained} 个与另一个 token 的内参吻合，自己的内参则属于另一个标签",
                f"{explained} of them match the intrinsics of another token, and their own "
                f"intrinsics match another label",
            )
        )
        return [cause("calibration_pairing", *evidence)]
    scales = [view.scale for view in misfits]
    scale = statistics.fmean(scales)
    if abs(scale - 1) > _SAME_SCALE and statistics.pstdev(scales) < _SAME_SCALE * scale:
        evidence.append(
            Bilingual(
                f"fx 都是应有值的 {scale:.3f} 倍，相当于宽 {scale * camera.width:.0f} 像素的图像",
                f"every fx is {scale:.3f} times the expected value, which corresponds to images "
                f"{scale * camera.width:.0f} pixels wide",
            )
        )
        return [cause("calibration_scale", *evidence)]
    return [cause("calibration_mismatch", *evidence)]


def _fits_another(view: View, views: Sequence[View]) -> bool:
    """Whether another token has the right camera for this label, and this camera is right for another."""
    others = [other for other in views if other is not view]
    borrowed = any(other.fits(view.camera.intrinsics) for other in others)
    return borrowed and any(view.fits(other.camera.intrinsics) for other in others)
