"""Questions about files: which match a pattern, what they hold now, and whether every sample has one."""

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.regular_file import open_regular, read_bounded
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

MISSING = "missing"
SETTINGS = "settings "
"""What the fingerprint of a configuration begins with; its resolved settings follow as JSON."""

READ_WHOLE = 1 << 20
MOST_FILES = 20_000


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
    """What is behind each pattern now, independent of where the roots lie.

    A configuration counts by the settings that it stands for; any other file by its content, and a
    directory by the names in it or, with a slash at its end, only by being there.  What takes long to
    read also tells size and time, so that it need not be read again while these stay.
    """
    return {pattern: fingerprint(roots, pattern) for pattern in patterns}


def fingerprint(roots: WorkspacePaths, pattern: str) -> str:
    """What is behind one pattern; see ``fingerprints``."""
    if pattern.endswith("/"):
        return "folder" if roots.path(pattern).is_dir() else MISSING
    if not glob.has_magic(pattern):
        path = roots.path(pattern)
        settings = settings_of(path)
        return _of_one(path) if settings is None else SETTINGS + json.dumps(settings, separators=(",", ":"))
    root, digest = roots.path(pattern.partition("*")[0]).parent, hashlib.sha256()
    found = list(islice(sorted(matches(roots, pattern)), MOST_FILES))
    for match in found:
        content = _of_one(match).split()[0]
        digest.update(f"{os.path.relpath(match, root)}\0{content}\n".encode(errors="surrogateescape"))
    return f"files:{digest.hexdigest()[:16]}" if found else MISSING


def settings_of(path: Path, overrides: tuple[str, ...] = ()) -> Mapping[str, Any] | None:
    """The resolved settings of a configuration; ``None`` for any other file."""
    if path.suffix != ".py" or not path.is_file():
        return None
    from diffbev_engine.config.resolved import resolved_settings

    try:
        return resolved_settings(path, overrides)
    except UsageError:
        return None


def _of_one(path: Path) -> str:
    """``<kind>:<digest>`` of a small file, else ``<kind>:<digest> <size> <time>``."""
    try:
        status = path.stat()
        if path.is_dir():
            names = "\0".join(sorted(entry.name for entry in os.scandir(path)))
            return f"names:{_digest(names.encode(errors='surrogateescape'))} 0 {status.st_mtime_ns}"
        if status.st_size > READ_WHOLE:
            return f"{_large(path)} {status.st_size} {status.st_mtime_ns}"
        content = read_bounded(path, READ_WHOLE)
    except OSError:
        return MISSING
    if path.suffix == ".sh":  # what a comment says changes no result
        lines = (line.strip() for line in content.splitlines())
        return "script:" + _digest(b"\n".join(line for line in lines if line and line[:1] != b"#"))
    return f"sha:{_digest(content)}"


def _large(path: Path) -> str:
    """The digest of a large file; of a checkpoint, of the checksums that it carries."""
    import zipfile  # which the first screen does not wait for

    with suppress(zipfile.BadZipFile, ValueError, NotImplementedError), zipfile.ZipFile(path) as archive:
        return f"crc:{_digest(repr([(entry.CRC, entry.file_size) for entry in archive.infolist()]).encode())}"
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(READ_WHOLE):
            digest.update(block)
    return f"sha:{digest.hexdigest()[:16]}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _tokens(root: Path, split: str, camera: str) -> Iterator[str]:
    index = root / "index.jsonl"
    if not index.exists():
        yield from (entry.name.rsplit(".", 1)[0] for entry in os.scandir(root / "img_dir" / split))
        return
    with open_regular(index) as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # a torn last line
                continue
            if isinstance(row, dict) and row.get("split") == split and camera in ("", row.get("camera")):
                yield str(row.get("token"))
