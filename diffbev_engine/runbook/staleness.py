"""Whether what a step was made from has changed since, and what exactly."""

import glob
import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.changes import Change, changes
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.runbook.files import (
    MISSING,
    MOST_FILES,
    READ_WHOLE,
    SETTINGS,
    fingerprint,
    matches,
    settings_of,
)
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.record import StepRecord
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import Manifest, read_manifest

_SHOWN_CHANGES = 2
_NO_RESULT = ("data_root", "data.workers_per_gpu")
"""Where data lies and who loads it: neither changes a result."""
_PATHS = ("model.backbone.pretrained", "load_from")


def why_changed(step: Step, record: StepRecord, pattern: str, roots: WorkspacePaths) -> Bilingual | None:
    """What has changed behind ``pattern`` since the step started; ``None`` if nothing that matters."""
    before, path = record.inputs[pattern], roots.path(pattern)
    shown = roots.short(path)
    if before == MISSING or pattern.endswith("/"):
        changed = fingerprint(roots, pattern) != before
    elif not glob.has_magic(pattern) and path.suffix == ".py":
        if not path.is_file():
            return Bilingual(f"{shown} 已不存在", f"{shown} no longer exists")
        reason = _why_settings_changed(step, pattern, before, path, roots)
        if reason is not None or settings_of(path) is not None:
            return reason
        changed = _content_changed(record, pattern, before, roots)
    else:
        changed = _content_changed(record, pattern, before, roots)
    return Bilingual(f"{shown} 在此之后有变化", f"{shown} has changed since") if changed else None


def _why_settings_changed(
    step: Step, pattern: str, before: str, path: Path, roots: WorkspacePaths
) -> Bilingual | None:
    """The settings that differ from those that the result was made from."""
    manifest = _manifest_of(step, pattern, roots)
    overrides: tuple[str, ...] = ()
    if manifest is not None:
        made_from: Mapping[str, Any] = manifest.config
        overrides = manifest.arguments.overrides if manifest.arguments else ()
    elif before.startswith(SETTINGS):
        made_from = _settings_in(before)
    else:
        return None  # of a version that kept a digest of the text: unknown, until the step runs again
    now = settings_of(path, overrides)
    if now is None:
        shown = roots.short(path)
        return Bilingual(f"{shown} 已不是有效的配置文件", f"{shown} is no longer a valid configuration")
    return _named(made_from, now)


def _settings_in(before: str) -> Mapping[str, Any]:
    """The settings that a fingerprint holds; none where the state file was edited."""
    try:
        found = json.loads(before.removeprefix(SETTINGS))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _named(before: Mapping[str, Any], now: Mapping[str, Any]) -> Bilingual | None:
    from diffbev_engine.config.resolved import complete

    if before == now:
        return None
    found = [str(change) for change in changes(complete(before), now) if _matters(change)]
    if not found:
        return None
    shown, more = ", ".join(found[:_SHOWN_CHANGES]), len(found) - _SHOWN_CHANGES
    if more <= 0:
        return Bilingual(shown, shown)
    return Bilingual(f"{shown}，另有 {more} 项设置不同", f"{shown}, and {more} more settings")


def _matters(change: Change) -> bool:
    """Whether a result made with the old value may differ from one made with the new."""
    if change.key in _PATHS and isinstance(change.old, str) and isinstance(change.new, str):
        return Path(change.old).name != Path(change.new).name  # the same file, mounted elsewhere
    return change.key not in _NO_RESULT


def _manifest_of(step: Step, pattern: str, roots: WorkspacePaths) -> Manifest | None:
    """``run.json`` of the run that the step made from this configuration, if it holds whole settings."""
    if not step.run_dir:
        return None
    manifest = read_manifest(RunFolder(roots.path(step.run_dir)))
    if manifest is None or "data_root" not in manifest.config:
        return None
    used = manifest.arguments.config if manifest.arguments else manifest.config_path
    configs = [name for name in step.inputs if name.endswith(".py") and not glob.has_magic(name)]
    return manifest if len(configs) == 1 or Path(used or "").name == Path(pattern).name else None


def _content_changed(record: StepRecord, pattern: str, before: str, roots: WorkspacePaths) -> bool:
    path = roots.path(pattern)
    if ":" not in before:  # of version 0.1
        of_content = len(before.split()) == 1 and not glob.has_magic(pattern)
        comparable = of_content or _is_in_place(record, roots)
        return comparable and earlier_fingerprint(roots, pattern) != before
    digest, *size_and_time = before.split()
    if size_and_time and size_and_time == _size_and_time(path):
        return False  # it need not be read
    return fingerprint(roots, pattern).split()[0] != digest


def _size_and_time(path: Path) -> list[str]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [str(0 if path.is_dir() else status.st_size), str(status.st_mtime_ns)]


def _is_in_place(record: StepRecord, roots: WorkspacePaths) -> bool:
    """Whether the roots lie where they lay when the step ran: its command holds them."""
    return any(
        str(root) in record.command for root in (roots.workspace, roots.nuscenes_root, roots.data_root)
    )


def earlier_fingerprint(roots: WorkspacePaths, pattern: str) -> str:
    """As version 0.1 made it, with absolute paths and times; of no use once the workspace has moved."""
    if not glob.has_magic(pattern):
        return _earlier_of_one(roots.path(pattern))
    digest = hashlib.sha256()
    found = list(islice(sorted(matches(roots, pattern)), MOST_FILES))
    for match in found:
        digest.update(f"{match}\0{_earlier_of_one(match)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16] if found else MISSING


def _earlier_of_one(path: Path) -> str:
    try:
        status = path.stat()
        if path.is_dir():
            return f"folder {status.st_mtime_ns}"
        if status.st_size <= READ_WHOLE:
            return hashlib.sha256(read_bounded(path, READ_WHOLE)).hexdigest()[:16]
    except OSError:
        return MISSING
    return f"{status.st_size} {status.st_mtime_ns}"
