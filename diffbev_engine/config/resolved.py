"""The settings that a configuration file stands for, as plain values, whatever its text looks like."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffbev_engine.config.parser import config_files, parse_config
from diffbev_engine.config.values import plain
from diffbev_engine.core.errors import UsageError

Settings = Mapping[str, Any]
_Stamp = tuple[tuple[Path, int, int], ...]
_known: dict[tuple[Path, tuple[str, ...]], tuple[_Stamp, Settings]] = {}


def resolved_settings(path: Path, overrides: tuple[str, ...] = ()) -> Settings:
    """All settings of ``path``, defaults too; of a file that is no whole configuration, what it says.

    Kept in memory until the file or one of its bases changes.

    Raises:
        UsageError: the file is no configuration.
    """
    known = _known.get((path, overrides))
    if known is not None and known[0] == _stamp([file for file, *_ in known[0]]):
        return known[1]
    stamp = _stamp(config_files(path))
    settings = _resolve(path, overrides)
    _known[path, overrides] = stamp, settings
    return settings


def complete(settings: Settings) -> Settings:
    """Settings that an earlier version resolved, with the defaults of keys that are new since."""
    from pydantic import ValidationError

    from diffbev_engine.config import settings as model

    try:
        return model.Settings.model_validate(settings).model_dump(mode="json")
    except ValidationError:  # a key of another version; what both know is compared
        return settings


def _resolve(path: Path, overrides: tuple[str, ...]) -> Settings:
    from diffbev_engine.config.load import load_settings

    try:
        return load_settings(path, overrides).model_dump(mode="json")
    except UsageError:
        values: Settings = json.loads(json.dumps(plain(parse_config(path))))
        return values


def _stamp(files: list[Path]) -> _Stamp:
    stamp = []
    for file in files:
        try:
            status = file.stat()
            stamp.append((file, status.st_mtime_ns, status.st_size))
        except OSError:
            stamp.append((file, 0, 0))
    return tuple(stamp)
