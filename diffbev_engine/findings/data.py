"""The data root: whether it is there, its files belong together, and the splits are apart."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.cameras import ALL
from diffbev_engine.core.files import same_but_case
from diffbev_engine.findings.command import NUSCENES_ROOT, PROGRAM, own_command
from diffbev_engine.findings.finding import Finding, Remedy, error, ok, some, warning
from diffbev_engine.findings.plan import Plan
from diffbev_engine.prepare.data_root import SPLITS

_PREPARE = Bilingual(
    "重新运行 diffbev-engine prepare：只补缺少的",
    "run `diffbev-engine prepare` again: it makes what is missing",
)


def prepare_again(plan: Plan, text: Bilingual = _PREPARE) -> Remedy:
    """``prepare`` into the data root; whoever knows the nuScenes root fills it in."""
    options = ("--nuscenes-root", NUSCENES_ROOT, "--output-dir", str(plan.root.root))
    return Remedy(text, argv=(PROGRAM, "prepare", *options))


def data_root(plan: Plan) -> Iterator[Finding]:
    """The root with its four folders, under the right upper and lower case."""
    root = plan.root.root
    wanted = [
        folder for split in SPLITS for folder in (plan.root.image_dir(split), plan.root.label_dir(split))
    ]
    missing = [folder for folder in wanted if not folder.is_dir()]
    if not missing:
        yield ok("data_root", Bilingual("数据目录齐全", "all data directories exist"), root)
        return
    twins = [] if (root / "img_dir").is_dir() else same_but_case(root)
    twins = [twin for twin in twins if (twin / "img_dir").is_dir()]
    if twins:
        right = twins[0]
        yield error(
            "data_root",
            Bilingual(
                f"{root} 不可用，但 {right} 有数据：大小写不同",
                f"{root} holds no data, but {right} does: upper and lower case differ",
            ),
            root,
            Bilingual(
                f"--set data_root={right}，或改配置中的 data_root，或建立符号链接",
                f"--set data_root={right}, or change data_root in the configuration, or make a symbolic link",
            ),
        )
        return
    first = next(folder for folder in [*reversed(missing[0].parents), missing[0]] if not folder.is_dir())
    yield error(
        "data_root",
        Bilingual(
            f"缺少 {len(missing)} 个目录，例如 {first}",
            f"{len(missing)} directories are missing, starting with {first}",
        ),
        root,
        prepare_again(
            plan,
            Bilingual(
                "检查配置中的 data_root，或运行 diffbev-engine prepare",
                "check data_root in the configuration, or run `diffbev-engine prepare`",
            ),
        ),
    )


def pairing(plan: Plan) -> Iterator[Finding]:
    """Every image with a label, intrinsics and an entry in the index."""
    if not plan.index and plan.settings.data.cameras != ALL:
        yield error(
            "pairing",
            Bilingual(
                "没有 index.jsonl，无法区分前视相机",
                "index.jsonl is missing, so the camera of each image is unknown",
            ),
            plan.root.index_path,
            prepare_again(
                plan,
                Bilingual(
                    "运行 diffbev-engine prepare，或 --set data.cameras=all",
                    "run `diffbev-engine prepare`, or --set data.cameras=all",
                ),
            ),
        )
    for split in SPLITS:
        yield from _pairs_of(plan, split)


def _pairs_of(plan: Plan, split: str) -> Iterator[Finding]:
    files, used = plan.files[split], plan.used(split)
    images, labels, calibration = files.images.keys(), files.labels.keys(), plan.calibration.keys()
    known = len(used & calibration)
    where = plan.root.root
    if not used:
        yield error(
            "pairing",
            Bilingual(
                f"{split}：没有可用的图像（图像 {len(images)}）",
                f"{split}: no image would be used (of {len(images)})",
            ),
            plan.root.image_dir(split),
            Bilingual("检查 prepare 的 --split 与 data.cameras", "check `prepare --split` and data.cameras"),
        )
        return
    again = prepare_again(plan)
    problems = [
        _lack("没有标签", "have no label", split, used - labels, plan.root.label_dir(split), again),
        _lack("没有内参", "have no intrinsics", split, used - calibration, plan.root.calib_path, again),
    ]
    if plan.index:
        absent = plan.entries(split).keys() - images
        problems.append(
            _lack("在索引中但没有图像", "are in the index without an image", split, absent, where, again)
        )
    found = [problem for problem in problems if problem]
    yield from found
    extra = labels - images
    if extra:
        yield warning(
            "pairing",
            Bilingual(
                f"{split}：{len(extra)} 个标签没有图像：{some(extra)}",
                f"{split}: {len(extra)} labels without an image: {some(extra)}",
            ),
            plan.root.label_dir(split),
            Bilingual(
                "这些标签不会使用；若图像被误删，请恢复",
                "they are not used; restore the images if they were deleted by mistake",
            ),
        )
    if not found:
        yield ok(
            "pairing",
            Bilingual(
                f"{split}：使用 {len(used)}/{len(images)} 张图像；标签 {len(labels)}，内参 {known}",
                f"{split}: {len(used)} of {len(images)} images used; "
                f"{len(labels)} labels, {known} intrinsics",
            ),
            where,
        )


def _lack(zh: str, en: str, split: str, tokens: set[str], where: object, again: Remedy) -> Finding | None:
    if not tokens:
        return None
    what = Bilingual(
        f"{split}：{len(tokens)} 张图像{zh}：{some(tokens)}",
        f"{split}: {len(tokens)} images {en}: {some(tokens)}",
    )
    return error("pairing", what, where, again)


def splits(plan: Plan) -> Iterator[Finding]:
    """Nothing of the training split is in the validation split."""
    train, val = plan.files["train"], plan.files["val"]
    shared = (train.images.keys() & val.images.keys()) | (train.labels.keys() & val.labels.keys())
    scenes: dict[str, set[str]] = defaultdict(set)
    tokens: dict[str, set[str]] = defaultdict(set)
    for entry in plan.index:
        scenes[entry.scene].add(entry.split)
        tokens[entry.token].add(entry.split)
    shared |= _in_both(tokens)
    mixed = _in_both(scenes)
    what = Bilingual(
        f"{len(shared)} 个 token 同时出现在 train 和 val 中：{some(shared)}",
        f"{len(shared)} tokens are in train and in val: {some(shared)}",
    )
    advice = Bilingual(
        "mIoU 会虚高，请用 prepare --split 重新划分",
        "mIoU would be inflated. Change the split with `prepare --split`",
    )
    if shared:
        yield error("splits", what, plan.root.root, advice)
    if mixed:
        what = Bilingual(
            f"{len(mixed)} 个场景同时出现在 train 和 val 中：{some(mixed)}",
            f"{len(mixed)} scenes are in train and in val: {some(mixed)}",
        )
        yield error("splits", what, plan.root.index_path, advice)
    if not plan.index:
        yield warning(
            "splits",
            Bilingual("没有 index.jsonl，无法核对场景", "no index.jsonl: scenes cannot be compared"),
            plan.root.index_path,
            prepare_again(plan),
        )
    elif not shared and not mixed:
        yield ok(
            "splits",
            Bilingual(
                f"train 与 val 没有重复场景（共 {len(scenes)} 个）",
                f"train and val share none of {len(scenes)} scenes",
            ),
            plan.root.index_path,
        )


def _in_both(splits_by_name: dict[str, set[str]]) -> set[str]:
    return {name for name, found in splits_by_name.items() if len(found) > 1}


def depth(plan: Plan) -> Iterator[Finding]:
    """Depth ground truth for every image at the size that is loaded, where the configuration loads it."""
    if not plan.settings.data.load_depth:
        yield ok("depth", Bilingual("配置不加载深度真值", "the configuration loads no depth ground truth"))
        return
    for split in SPLITS:
        found = plan.depth_coverage(split)
        words = found.describe()
        what = Bilingual(f"{split}：{words.zh}", f"{split}: {words.en}")
        if found.complete:
            yield ok("depth", what, found.directory)
            continue
        command = found.remedy()
        argv = own_command(found.remedy(NUSCENES_ROOT))
        do = Remedy(
            Bilingual(f"运行 `{command}`", f"run `{command}`"),
            argv=(*argv, "--data-root", str(plan.root.root)),
        )
        # Validation without depth costs its depth metrics only; training without it learns no depth.
        judge = error if split == "train" or found.wrong_size else warning
        yield judge("depth", what, found.directory, do)


def spaced(tokens: Iterable[str], count: int) -> list[str]:
    """``count`` of the tokens, evenly spaced over their order."""
    ordered = sorted(tokens)
    count = min(count, len(ordered))
    return [ordered[number * len(ordered) // count] for number in range(count)]
