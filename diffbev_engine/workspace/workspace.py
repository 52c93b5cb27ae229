"""``workspace.toml``: what a workspace is for, and what ``init`` wrote into it."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffbev_engine import __version__
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.files import write_text
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.core.toml import LARGEST, WORKSPACE_FILE, checked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = 1
"""Counted up when older programs could not use the workspace any more."""

BASELINE_CONFIG = Path("configs/baseline/lss_swin_nuscenes.py")
DIFFBEV_CONFIG = Path("configs/diffbev/diffbev_lss_swin_nuscenes.py")
SMOKE_RUN = Path("runs/baseline_smoke")
BASELINE_RUN = Path("runs/baseline")
DIFFBEV_RUN = Path("runs/diffbev_default")
RUN_FOLDERS = (SMOKE_RUN, BASELINE_RUN, DIFFBEV_RUN)
"""Made by ``init``: ``tee`` in step 2.4 opens its log before the training makes its folder."""

_TABLE = re.compile(r"\s*\[+([^\]]+)\]")
_HEADER = """\
# 由 diffbev-engine init 生成；本文件所在目录就是工作区
# Written by diffbev-engine init; the folder of this file is the workspace
"""
_FILES_HEADER = """\
# init 写入时的 SHA-256：用来区分您的修改与新版本的改动
# SHA-256 as init wrote them: tells your changes from those of a new version
"""


@dataclass(frozen=True)
class Workspace:
    """A workspace as its ``workspace.toml`` describes it."""

    root: Path
    """Absolute folder of the workspace."""
    nuscenes_root: Path
    """Absolute nuScenes root."""
    demo: bool = False
    """Small images, model and iteration counts, for a CPU."""
    engine: str = __version__
    """Version of the program that wrote the files last."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path with ``/`` -> SHA-256 (hex) of what was written there last."""
    user_tables: str = ""
    """Tables that users wrote, such as ``[notify]`` and ``[runs]``, as they stand in the file."""
    separate_data_root: Path | None = None
    """Absolute; where prepared data is kept apart from a nuScenes root that cannot be written."""

    @property
    def data_root(self) -> Path:
        """The directory with ``img_dir`` and ``ann_bev_dir``: the nuScenes root itself unless separate."""
        return self.separate_data_root or self.nuscenes_root

    @property
    def manifest(self) -> Path:
        """The file that makes the folder a workspace."""
        return self.root / WORKSPACE_FILE

    @property
    def baseline_config(self) -> Path:
        """Configuration of the baseline."""
        return self.root / BASELINE_CONFIG

    @property
    def diffbev_config(self) -> Path:
        """Configuration of DiffBEV."""
        return self.root / DIFFBEV_CONFIG

    def to_toml(self) -> str:
        """The text of ``workspace.toml``."""
        lines = [
            f"format = {FORMAT}",
            f"engine = {_quoted(self.engine)}",
            f"nuscenes_root = {_quoted(str(self.nuscenes_root))}",
            *([f"data_root = {_quoted(str(self.data_root))}"] if self.separate_data_root else []),
            f"demo = {'true' if self.demo else 'false'}",
        ]
        files = [f"{_quoted(name)} = {_quoted(digest)}" for name, digest in sorted(self.files.items())]
        tables = [self.user_tables.strip(), ""] if self.user_tables.strip() else []
        return "\n".join([_HEADER + lines[0], *lines[1:], "", *tables, f"{_FILES_HEADER}[files]", *files, ""])

    def save(self) -> None:
        """Write ``workspace.toml``, for its owner to read: ``[notify]`` holds what others must not know.

        Raises:
            OSError: of the system.
        """
        write_text(self.manifest, self.to_toml(), private=True)


def load_workspace(root: Path) -> Workspace:
    """Read the workspace in the folder ``root``.

    Raises:
        UsageError: there is none, or a newer program wrote it.
        DiffBEVError: ``workspace.toml`` is damaged; the message names the key.
    """
    path = absolute(root) / WORKSPACE_FILE
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{root} is not a workspace: {WORKSPACE_FILE} not found. Create one with `diffbev-engine init "
            f"{root} --nuscenes-root DIR`."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file in UTF-8"
        raise DiffBEVError(f"{path}: cannot be read: {reason}.") from None
    try:
        data = tomllib.loads(checked(text))
    except RecursionError:
        raise _damaged(path, "not TOML: nested too deeply") from None
    except ValueError as error:
        raise _damaged(path, f"not TOML: {error}") from None
    return replace(_from_toml(path, data), user_tables=_user_tables(text))


def _user_tables(text: str) -> str:
    """Every table but ``[files]``, comments and all: ``init`` must not lose what users wrote."""
    kept: list[str] = []
    mine = True
    for line in text.splitlines():
        header = _TABLE.match(line)
        if header:
            mine = header[1].split(".")[0].strip() == "files"
        if not mine and line not in _FILES_HEADER.splitlines():
            kept.append(line)
    return "\n".join(kept)


def find_workspace(start: Path) -> Workspace | None:
    """The workspace that ``start``, a file or folder, is in; ``None`` outside of any.

    Raises:
        DiffBEVError: there is one, but its ``workspace.toml`` cannot be used.
    """
    place = absolute(start)
    for folder in (place, *place.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return load_workspace(folder)
    return None


def absolute(path: Path) -> Path:
    """``path`` from the root of the file system; links stay, as users may mean them to."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - see there


def _from_toml(path: Path, data: Mapping[str, Any]) -> Workspace:
    version = _value(path, data, "format", int)
    if version > FORMAT:
        raise UsageError(
            f"{path}: created by a newer diffbev-engine (format {version}; this version supports "
            f"{FORMAT}). Update diffbev-engine."
        )
    files = _value(path, data, "files", dict)
    for name, digest in files.items():
        if not isinstance(digest, str):
            raise _damaged(path, f"files.{name} is {digest!r}, no text")
    roots = {key: Path(_value(path, data, key, str)) for key in ("nuscenes_root", "data_root") if key in data}
    if "nuscenes_root" not in roots:
        raise _damaged(path, "nuscenes_root is missing")
    for key, root in roots.items():
        if not root.is_absolute():
            raise _damaged(path, f"{key} is {str(root)!r}, no absolute path")
    return Workspace(
        root=path.parent,
        nuscenes_root=roots["nuscenes_root"],
        separate_data_root=roots.get("data_root"),
        demo=_value(path, data, "demo", bool),
        engine=_value(path, data, "engine", str),
        files=files,
    )


def _value(path: Path, data: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in data:
        raise _damaged(path, f"{key} is missing")
    if type(data[key]) is not kind:
        raise _damaged(path, f"{key} is {data[key]!r}, expected {kind.__name__}")
    return data[key]


def _damaged(path: Path, what: str) -> DiffBEVError:
    return DiffBEVError(
        f"{path}: {what}. Fix it, or move the file away and run `diffbev-engine init` again; files "
        f"you changed are kept."
    )


def _quoted(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
