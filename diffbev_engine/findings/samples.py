"""A few samples opened as the loader opens them, and the labels of a few more counted."""

import random
from collections.abc import Iterator

import numpy as np

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.records import SampleRecord
from diffbev_engine.dataset.sample import load_sample
from diffbev_engine.findings.data import spaced
from diffbev_engine.findings.finding import Finding, error, ok, warning
from diffbev_engine.findings.plan import Plan
from diffbev_engine.prepare.data_root import SPLITS
from diffbev_engine.prepare.encoding import read_label
from diffbev_engine.prepare.validity import LabelCounter

_OPENED = 8
_COUNTED = 200
_SEEN = (0.1, 0.9)
_COMMON = "drivable_area"
_PREVIEW = Bilingual(
    "查看 diffbev-engine preview-labels 生成的图像和报告",
    "check the images and the report of `diffbev-engine preview-labels`",
)


def samples(plan: Plan) -> Iterator[Finding]:
    """Image, label, intrinsics and depth of some samples, read by the loader's own code."""
    for split in SPLITS:
        tokens = spaced(plan.used(split) & plan.files[split].labels.keys() & plan.calibration.keys(), _OPENED)
        broken, empty = [], 0
        for token in tokens:
            try:
                sample = load_sample(
                    _record(plan, split, token),
                    plan.settings.data.image_size,
                    with_depth=plan.settings.data.load_depth,
                )
            except DiffBEVError as problem:
                broken.append(str(problem))
                continue
            empty += sample.depth is not None and not bool(sample.depth.any())
        if broken:
            what = Bilingual(
                f"{split}：{len(tokens)} 个样本中 {len(broken)} 个无法加载，例如：{broken[0]}",
                f"{split}: {len(broken)} of {len(tokens)} samples cannot be loaded, e.g. {broken[0]}",
            )
            yield error(
                "samples",
                what,
                plan.root.root,
                Bilingual("按上述说明修复后重新检查", "fix it as described above, then run preflight again"),
            )
        if empty > len(tokens) / 2:
            yield warning(
                "samples",
                Bilingual(
                    f"{split}：{empty}/{len(tokens)} 个样本没有任何深度",
                    f"{split}: {empty} of {len(tokens)} samples have no depth at all",
                ),
                plan.depth_dir(split),
                Bilingual("运行 check-depth", "run `diffbev-engine check-depth`"),
            )
        if tokens and not broken:
            yield ok(
                "samples",
                Bilingual(f"{split}：{len(tokens)} 个样本可以加载", f"{split}: {len(tokens)} samples load"),
            )


def _record(plan: Plan, split: str, token: str) -> SampleRecord:
    files = plan.files[split]
    return SampleRecord(
        token=token,
        image=files.images[token],
        label=files.labels[token],
        depth=plan.depth_dir(split) / f"{token}.npz",
        intrinsics=_matrix(plan, token),
        camera=None,
        scene=None,
        known=np.ones(NUM_CLASSES, bool),
    )


def _matrix(plan: Plan, token: str) -> np.ndarray:
    """(3, 3) pinhole intrinsics.

    Raises:
        DiffBEVError: they are none.
    """
    try:
        matrix = np.array(plan.calibration[token], np.float64)
        pinhole = matrix.shape == (3, 3) and np.isfinite(matrix).all() and matrix[[0, 1], [0, 1]].min() > 0
        pinhole = pinhole and not (matrix[0, 1] or matrix[1, 0]) and matrix[2].tolist() == [0.0, 0.0, 1.0]
    except ValueError:
        pinhole = False
    if not pinhole:
        raise DiffBEVError(
            f"{plan.root.calib_path}: the intrinsics of {token} are not "
            "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]. Run `diffbev-engine prepare` again."
        )
    return matrix


def labels(plan: Plan) -> Iterator[Finding]:
    """Bits, ignore share and class rates of some labels of each split."""
    for split in SPLITS:
        paths = plan.files[split].labels
        count = min(_COUNTED, len(paths))
        tokens = sorted(random.Random(0).sample(sorted(paths), count))
        unlabelled = {entry.token: entry.unlabelled for entry in plan.index if entry.split == split}
        counter = LabelCounter()
        for token in tokens:
            try:
                counter.add(token, read_label(paths[token]), unlabelled.get(token, ()))
            except DiffBEVError as problem:
                counter.damaged.append(str(problem))
        yield from _judge(counter, plan, split)


def _judge(counter: LabelCounter, plan: Plan, split: str) -> Iterator[Finding]:
    where, problems = plan.root.label_dir(split), counter.problems()
    for problem in problems:
        yield error("labels", Bilingual(f"{split}：{problem}", f"{split}: {problem}"), where, _PREVIEW)
    if not counter.read:
        return
    seen = counter.visible_share()
    if not _SEEN[0] <= seen <= _SEEN[1]:
        yield warning(
            "labels",
            Bilingual(
                f"{split}：可见网格占 {seen:.1%}，nuScenes约为50%",
                f"{split}: {seen:.1%} of the cells are visible, in nuScenes about half",
            ),
            where,
            _PREVIEW,
        )
    classes = counter.classes()
    road = classes[CLASSES.index(_COMMON)]
    if road.ratio is not None and not 0.5 <= road.ratio <= 2.0:
        yield warning(
            "labels",
            Bilingual(
                f"{split}：可行驶区域占 {road.share:.1%}，公布值为 {road.prior:.1%}",
                f"{split}: drivable area covers {road.share:.1%} of the visible cells (published: "
                f"{road.prior:.1%})",
            ),
            where,
            _PREVIEW,
        )
    present = sum(each.cells > 0 for each in classes)
    if not problems:
        yield ok(
            "labels",
            Bilingual(
                f"{split}：读取 {counter.read} 个标签，出现 {present}/{NUM_CLASSES} 个类别，"
                f"可见网格占 {seen:.1%}",
                f"{split}: {counter.read} labels read, {present} of {NUM_CLASSES} classes in them, "
                f"{seen:.1%} of the cells visible",
            ),
            where,
        )
