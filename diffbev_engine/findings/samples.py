"""A few samples opened as the loader opens them, and the labels of a few more counted."""

import random
from collections.abc import Iterator

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.classes import CLASSES, NUM_CLASSES
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.dataset.records import RecordMaker, SampleRecord
from diffbev_engine.dataset.sample import load_sample
from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.findings.data import prepare_again, spaced
from diffbev_engine.findings.finding import Finding, Remedy, error, ok, warning
from diffbev_engine.findings.plan import Plan
from diffbev_engine.prepare.data_root import SPLITS
from diffbev_engine.prepare.encoding import read_label
from diffbev_engine.prepare.fov import Camera, FieldOfView, field_of_view
from diffbev_engine.prepare.image_file import image_size
from diffbev_engine.prepare.validity import LabelCounter

_OPENED = 8
_COUNTED = 200
_WIDEST = 6.0
"""Width over focal length, 143 degrees: what shows more is the mask of another tool, not a camera's view."""
_SEEN = (0.1, 0.9)
_COMMON = "drivable_area"
_PREVIEW = Bilingual(
    "查看 diffbev-engine preview-labels 生成的图像和报告",
    "check the images and the report of `diffbev-engine preview-labels`",
)


def _preview(plan: Plan, split: str) -> Remedy:
    argv = (PROGRAM, "preview-labels", "--data-root", str(plan.root.root), "--split", split)
    return Remedy(_PREVIEW, argv=argv)


def samples(plan: Plan) -> Iterator[Finding]:
    """Image, label, intrinsics and depth of some samples, read by the loader's own code."""
    for split in SPLITS:
        tokens, broken, empty = _records(plan, split), [], 0
        for record in tokens:
            try:
                sample = load_sample(
                    record,
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
                Remedy(
                    Bilingual("运行 check-depth", "run `diffbev-engine check-depth`"),
                    argv=(PROGRAM, "check-depth", plan.config, "--split", split),
                ),
            )
        if tokens and not broken:
            yield ok(
                "samples",
                Bilingual(f"{split}：{len(tokens)} 个样本可以加载", f"{split}: {len(tokens)} samples load"),
            )


def _records(plan: Plan, split: str) -> list[SampleRecord]:
    """Some images that would be loaded, evenly spaced.

    Raises:
        DiffBEVError: intrinsics that are not those of a pinhole camera.
    """
    files = plan.files[split]
    tokens = spaced(plan.used(split) & files.labels.keys() & plan.calibration.keys(), _OPENED)
    make = RecordMaker(plan.root, split, plan.calibration, plan.entries(split))
    return [make(token, files.images[token], files.labels[token]) for token in tokens]


def geometry(plan: Plan) -> Iterator[Finding]:
    """Intrinsics at the size of the images, against the field of view that the labels show."""
    compared = False
    for split in SPLITS if (plan.root.root / "img_dir").is_dir() else ():
        fields = []
        for record in _records(plan, split):
            try:
                width, height = record.size or image_size(record.image)
                camera = Camera(record.token, record.intrinsics, width, height)
                found = field_of_view(read_label(record.label), camera)
            except DiffBEVError:  # `samples` and `labels` name it
                continue
            if found and camera.width / found.fx <= _WIDEST:
                fields.append(found)
        compared |= bool(fields)
        misfits = [field for field in fields if not field.fits_its_camera]
        if len(misfits) * 2 > len(fields):
            yield _misfit(plan, split, misfits, len(fields))
        elif fields:
            yield ok(
                "geometry",
                Bilingual(
                    f"{split}：{len(fields)} 个标签的视野与内参一致",
                    f"{split}: the field of view of {len(fields)} labels matches the intrinsics",
                ),
            )
    if not compared:
        yield ok("geometry", Bilingual("没有可比较的标签", "no label shows the field of view of a camera"))


def _misfit(plan: Plan, split: str, misfits: list[FieldOfView], count: int) -> Finding:
    first = misfits[0]
    camera = first.camera
    what = Bilingual(
        f"{split}：{count} 个标签中有 {len(misfits)} 个的视野与内参不符，例如 {camera.token}：图像宽 "
        f"{camera.width}，fx {camera.fx:.0f}，标签对应 fx {first.fx:.0f}（相差 {first.scale:.2f} 倍）",
        f"{split}: the field of view of {len(misfits)} of {count} labels does not match the intrinsics, e.g. "
        f"{camera.token}: fx {camera.fx:.0f} for an image {camera.width} pixels wide, but the label implies "
        f"fx {first.fx:.0f} (a factor of {first.scale:.2f})",
    )
    return error(
        "geometry",
        what,
        plan.root.calib_path,
        prepare_again(
            plan,
            Bilingual(
                "若图像被缩放过，请重新运行 diffbev-engine prepare：它会记录原始尺寸；否则检查 calib.json",
                "if the images were resized, run `diffbev-engine prepare` again: it records the original "
                "size; otherwise check calib.json",
            ),
        ),
    )


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
    where, problems, look = plan.root.label_dir(split), counter.problems(), _preview(plan, split)
    for problem in problems:
        yield error("labels", Bilingual(f"{split}：{problem}", f"{split}: {problem}"), where, look)
    if not counter.read:
        return
    seen = counter.visible_share()
    if not _SEEN[0] <= seen <= _SEEN[1]:
        yield warning(
            "labels",
            Bilingual(
                f"{split}：可见网格占 {seen:.1%}，nuScenes 约为 50%",
                f"{split}: {seen:.1%} of the cells are visible, in nuScenes about half",
            ),
            where,
            look,
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
            look,
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
