"""Questions about files: how many match, one for every sample, and whether they changed."""

import glob
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_READ_WHOLE = 1 << 20
_MOST_FILES = 20_000
MISSING = "missing"


@dataclass(frozen=True)
class SampleCount:
    """How many samples of a split have their file."""

    samples: int
    found: int
    first_missing: str = ""


def matches(roots: WorkspacePaths, pattern: str) -> Iterator[Path]:
    """The paths that match a glob; only the pattern itself is one, not the names of the roots."""
    parts = Path(pattern).parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    base = roots.path(str(Path(*parts[:fixed])))
    if fixed < len(parts):
        yield from base.glob("/".join(parts[fixed:]))
    elif base.exists():
        yield base


def count_matches(roots: WorkspacePaths, pattern: str) -> int:
    """How many paths match a glob."""
    return sum(1 for _ in matches(roots, pattern))


def one_file_per_sample(root: Path, split: str, folder: Path, suffix: str, camera: str) -> SampleCount:
    """Compare a folder with the samples of a split.

    Raises:
        OSError: neither ``index.jsonl`` nor ``img_dir/<split>`` can be read.
    """
    wanted = list(_tokens(root, split, camera))
    there = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    missing = [token for token in wanted if token + suffix not in there]
    return SampleCount(len(wanted), len(wanted) - len(missing), missing[0] + suffix if missing else "")


def fingerprints(roots: WorkspacePaths, patterns: tuple[str, ...]) -> dict[str, str]:
    """What the files behind each pattern are now, in a form that changes when they do.

    Small files count by content, so that touching one changes nothing; large ones by size and
    time; a folder by the time at which something was added to it or taken away, or, when it is
    written with a slash at its end, only by being there.
    """
    return {pattern: _fingerprint(roots, pattern) for pattern in patterns}


def _fingerprint(roots: WorkspacePaths, pattern: str) -> str:
    if pattern.endswith("/"):
        return "folder" if roots.path(pattern).is_dir() else MISSING
    if not glob.has_magic(pattern):
        return _of_one(roots.path(pattern))
    digest, any_match = hashlib.sha256(), False
    for match in islice(sorted(matches(roots, pattern)), _MOST_FILES):
        digest.update(f"{match}\0{_of_one(match)}\n".encode(errors="surrogateescape"))
        any_match = True
    return digest.hexdigest()[:16] if any_match else MISSING


def _of_one(path: Path) -> str:
    try:
        status = path.stat()
        if path.is_dir():
            return f"folder {status.st_mtime_ns}"
        if status.st_size <= _READ_WHOLE:
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return MISSING
    return f"{status.st_size} {status.st_mtime_ns}"


def _tokens(root: Path, split: str, camera: str) -> Iterator[str]:
    index = root / "index.jsonl"
    if not index.exists():
        yield from (entry.name.rsplit(".", 1)[0] for entry in os.scandir(root / "img_dir" / split))
        return
    with index.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # a torn last line
                continue
            if row.get("split") == split and camera in ("", row.get("camera")):
                yield str(row.get("token"))
