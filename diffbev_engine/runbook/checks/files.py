"""Checks of files, the disk and the GPU: they can run at any time."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from diffbev_engine.core.bilingual import EMPTY, Bilingual, join, same
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.gpu.reading import read_gpus
from diffbev_engine.core.patterns import LIMIT_S, TookTooLong, last_match
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runbook.checks.check import Check, Outcome, Seen, check_type
from diffbev_engine.runbook.files import count_matches, one_file_per_sample
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import read_manifest
from diffbev_engine.runs.metrics.file import read_metrics
from diffbev_engine.runs.metrics.integrity import MetricsError, damage
from diffbev_engine.runs.status import read_status

_LARGEST_TEXT = 64 * 1024 * 1024
TOO_LONG = Seen(
    False,
    Bilingual(
        f"正则表达式匹配超过 {LIMIT_S:g} 秒，请简化",
        f"the regular expression took longer than {LIMIT_S:g} s; simplify it",
    ),
)
_MISSING = Seen(False, Bilingual("不存在", "missing"))
_KINDS = {
    "any": Bilingual("路径", "path"),
    "file": Bilingual("文件", "file"),
    "folder": Bilingual("目录", "folder"),
}


@check_type("path_exists")
@dataclass(frozen=True)
class PathExists(Check):
    """A file or a folder is there."""

    path: str
    kind: Literal["any", "file", "folder"] = "any"

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown, kind = roots.short(roots.path(self.path)), _KINDS[self.kind]
        return Bilingual(f"{kind.zh} {shown} 存在", f"{kind.en} {shown} exists")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        path = roots.path(self.path)
        if not path.exists():
            return Seen(False, Bilingual("失效的链接", "broken link")) if path.is_symlink() else _MISSING
        if self.kind == "folder" and not path.is_dir():
            return Seen(False, Bilingual("是文件，不是目录", "a file, not a folder"))
        if self.kind == "file" and not path.is_file():
            return Seen(False, Bilingual("是目录，不是文件", "a folder, not a file"))
        return Seen(True)


@check_type("file_contains")
@dataclass(frozen=True)
class FileContains(Check):
    """A text file has all the texts, and a match of the pattern."""

    path: str
    texts: tuple[str, ...] = ()
    pattern: str = ""
    meaning: Bilingual = EMPTY

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown = roots.short(roots.path(self.path))
        if self.meaning:
            return Bilingual(f"{shown}：{self.meaning.zh}", f"{shown}: {self.meaning.en}")
        wanted = "、".join(f"“{text}”" for text in self.texts) or f"/{self.pattern}/"
        english = ", ".join(f'"{text}"' for text in self.texts) or f"/{self.pattern}/"
        return Bilingual(f"{shown} 包含 {wanted}", f"{shown} contains {english}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        path = roots.path(self.path)
        if not path.is_file():
            return _MISSING
        with open_regular(path) as file:
            content = file.read(_LARGEST_TEXT).decode("utf-8", errors="replace")
        return find_in(content, [roots.fill(text) for text in self.texts], self.pattern)


@check_type("csv_reaches_step")
@dataclass(frozen=True)
class CsvReachesStep(Check):
    """A ``metrics.csv`` reaches ``step``; without one, the last iteration that its run was started for."""

    path: str
    step: int | None = field(default=None)

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown = roots.short(roots.path(self.path))
        wanted = self.step or _max_iters(roots.path(self.path).parent)
        if wanted is None:
            return Bilingual(f"{shown} 到达最后一次迭代", f"{shown} reaches the last iteration")
        return Bilingual(f"{shown} 到达第 {wanted} 次迭代", f"{shown} reaches step {wanted}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        path = roots.path(self.path)
        wanted = self.step or _max_iters(path.parent)
        if not path.exists():
            return _MISSING
        if wanted is None:
            return Seen(
                False,
                Bilingual(
                    "没有 run.json，不知道训练多少次迭代", "run.json does not tell the number of iterations"
                ),
            )
        try:
            last = read_metrics(path, columns=()).last_step
        except MetricsError as error:
            return Seen(False, error.text)
        return Seen(last >= wanted, Bilingual(f"最后一行：第 {last} 次迭代", f"last row: step {last}"))


@check_type("csv_has_values")
@dataclass(frozen=True)
class CsvHasValues(Check):
    """A ``metrics.csv`` can be read and has a finite value in each of the columns."""

    path: str
    columns: tuple[str, ...]

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown, names = roots.short(roots.path(self.path)), ", ".join(self.columns)
        return Bilingual(f"{shown} 可读，含有 {names} 的值", f"{shown} is readable and has values of {names}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        path = roots.path(self.path)
        if not path.exists():
            return _MISSING
        try:
            metrics = read_metrics(path, columns=self.columns)
        except MetricsError as error:
            return Seen(False, error.text)
        if found := damage(path, metrics):
            return Seen(False, found)
        empty = ", ".join(column for column in self.columns if not len(metrics.series(column)))
        if empty:
            return Seen(False, Bilingual(f"没有值：{empty}", f"no value of {empty}"))
        rows, bad = len(metrics), metrics.unreadable
        zh, en = (f"，另有 {bad} 行不可读", f", and {bad} that cannot be read") if bad else ("", "")
        last = metrics.last_step
        return Seen(True, Bilingual(f"{rows} 行{zh}，到第 {last} 次迭代", f"{rows} rows{en}, to step {last}"))


@check_type("files_at_least")
@dataclass(frozen=True)
class FilesAtLeast(Check):
    """At least ``count`` files match the glob."""

    pattern: str
    count: int

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown = roots.short(roots.path(self.pattern))
        match = "file matches" if self.count == 1 else "files match"
        return Bilingual(f"至少 {self.count} 个文件匹配 {shown}", f"at least {self.count} {match} {shown}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        found = count_matches(roots, self.pattern)
        return Seen(found >= self.count, Bilingual(f"{found} 个", f"{found} found"))


@check_type("file_per_sample")
@dataclass(frozen=True)
class FilePerSample(Check):
    """A folder has one file for every sample of a split, as ``index.jsonl`` (or ``img_dir``) lists them."""

    root: str
    split: str
    folder: str
    suffix: str
    camera: str = ""

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown = roots.short(roots.path(self.root) / self.folder)
        return Bilingual(
            f"{shown} 中每个样本一个 {self.suffix}", f"{shown} has one {self.suffix} file per sample"
        )

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        root = roots.path(self.root)
        count = one_file_per_sample(root, self.split, root / self.folder, self.suffix, self.camera)
        if not count.samples:
            return Seen(False, Bilingual("此划分没有样本", "the split has no sample"))
        detail = f"{count.found}/{count.samples}"
        if count.first_missing:
            return Seen(
                False,
                Bilingual(f"{detail}，缺 {count.first_missing}", f"{detail}, lacks {count.first_missing}"),
            )
        return Seen(True, same(detail))


@check_type("gpu_answers")
@dataclass(frozen=True)
class GpuAnswers(Check):
    """An NVIDIA GPU answers its driver."""

    def _describe(self, roots: WorkspacePaths) -> Bilingual:  # noqa: ARG002
        return Bilingual("GPU 可用", "a GPU is available")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        found = read_gpus()
        if not found.gpus:
            return Seen(False, found.problem)
        seen = (gpu.problem or same(gpu.label) for gpu in found.gpus)
        return Seen(bool(found.usable), join(seen))


@check_type("disk_free")
@dataclass(frozen=True)
class DiskFree(Check):
    """The disk of a path has room."""

    path: str
    gib: float

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        shown = roots.short(roots.path(self.path))
        return Bilingual(
            f"{shown} 所在磁盘剩余至少 {self.gib:g} GiB", f"at least {self.gib:g} GiB free for {shown}"
        )

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        path = roots.path(self.path)
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        return Seen(free >= self.gib * 2**30, Bilingual(f"剩余 {byte_size(free)}", f"{byte_size(free)} free"))


def find_in(content: str, texts: list[str], pattern: str) -> Seen:
    """Whether ``content`` has all the texts and a match of the pattern, and the last line that shows it."""
    missing = [text for text in texts if text not in content]
    if missing:
        return Seen(False, Bilingual(f"没有“{missing[0]}”", f'no "{missing[0]}"'))
    match = None
    if pattern:
        try:
            match = last_match(pattern, content)  # the last one is the news
        except TookTooLong:
            return TOO_LONG
        if match is None:
            return Seen(False, Bilingual("没有", "not found"))
    where = match.start if match else content.rfind(texts[-1]) if texts else 0
    return Seen(True, same(line_at(content, where)))


def line_at(content: str, position: int) -> str:
    """The line around ``position``, shortened."""
    start = content.rfind("\n", 0, position) + 1
    end = content.find("\n", position)
    return plain(content[start : end if end >= 0 else None], longest=200).strip()


def _max_iters(run_dir: Path) -> int | None:
    """How many iterations a run was started for, as its own files say."""
    folder = RunFolder(run_dir)
    manifest, status = read_manifest(folder), read_status(folder.status)
    planned = manifest.setting("runner.max_iters") if manifest else None
    if isinstance(planned, int):
        return planned
    return status.max_iters if status else None
