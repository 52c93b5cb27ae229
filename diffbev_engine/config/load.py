"""From a configuration file and overrides to validated settings, and back to text.

Paths in settings stay as they are written: a relative ``data_root`` is relative to the
working directory of the process, as the commands of the runbook change into the workspace
first.  Only a leading ``~`` is expanded.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from diffbev_engine.config.explain import Location, dotted, problems, value_at
from diffbev_engine.config.parser import parse_config, parse_literal
from diffbev_engine.config.presets_index import find_config
from diffbev_engine.config.settings import Settings
from diffbev_engine.config.values import Entry, Origin, Value, collection, merge, plain
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import expanded

_LINE = 100
_MANY_UNKNOWN = 5
_START_FROM_PRESET = (
    ". Written for another framework? Start from _base_ = ['baseline/lss_swin_nuscenes.py'] "
    "and set only what differs."
)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/\x07-\x0d]")


def load_settings(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """Read, merge and validate a configuration.

    Args:
        path: a configuration file, or the name of a packaged preset when no such file exists.
        overrides: ``key.subkey=value`` each, as after ``--set``; the value is a Python
            literal, anything else is taken as a string.  Later ones win.

    Raises:
        UsageError: one message with every problem: its place, the dotted key, what was
            expected and what was found.
    """
    config = parse_config(find_config(path), Settings.model_fields)
    for override in overrides:
        config = merge(config, _parse_override(override))
    # The file as a whole is what lacks a key; merging may have left an override's place there.
    config = Value(config.data, Origin(str(path)), config.size, config.depth)
    data = plain(config)
    assert isinstance(data, dict)
    _refuse_escapes(config, ("data_root",))
    _refuse_escapes(config, ("model", "backbone", "pretrained"))
    _refuse_escapes(config, ("load_from",))
    if isinstance(root := data.get("data_root"), str):
        data["data_root"] = str(expanded(root))
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        found = problems(error, Settings, config)
    if len(found) == 1:
        raise UsageError(found[0])
    unknown = sum("unknown key" in line for line in found)
    advice = _START_FROM_PRESET if unknown > _MANY_UNKNOWN else ""
    raise UsageError(f"{path}: {len(found)} problems{advice}\n" + "\n".join(f"  {line}" for line in found))


def dump_config(settings: Settings) -> str:
    """The settings as the text of a configuration file without bases.

    Loading the text gives equal settings.  Every key is written, defaults too.
    """
    lines = [f"{key} = {_source(value, 0)}\n" for key, value in settings.model_dump().items()]
    return "".join(lines)


def _refuse_escapes(config: Value, location: Location) -> None:
    r"""Raise if the path there is like ``"D:\data\nuScenes"``, where ``\n`` has become a line break."""
    value = value_at(config, location)
    if value is None or not isinstance(value.data, str) or not _WINDOWS.match(value.data):
        return
    if any(letter < " " for letter in value.data):
        raise value.where.error(
            f"{dotted(location)} = {value.data!r}: a backslash with a letter is an escape in quotes. "
            "Write slashes, as in 'D:/data', or r'D:\\data'."
        )


def _parse_override(text: str) -> Value:
    """``data.samples_per_gpu=2`` as ``dict(data=dict(samples_per_gpu=2))``."""
    key, equals, value_text = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    origin = Origin(f"--set {text}")
    if not equals or not all(part.isidentifier() for part in parts):
        raise origin.error("write it as key=value or group.key=value, such as data.samples_per_gpu=2.")
    try:
        value = parse_literal(value_text, origin)
    except UsageError:
        value = Value(value_text, origin)
    for part in reversed(parts):
        value = collection({part: Entry(value, origin)}, origin)
    return value


def _source(value: object, indent: int) -> str:
    """``value`` as source text; dicts that do not fit a line get one line per key."""
    if isinstance(value, Path):
        return repr(str(value))
    if not isinstance(value, dict):
        return repr(value)
    items = [f"{key}={_source(item, indent + 4)}" for key, item in value.items()]
    flat = f"dict({', '.join(items)})"
    if len(flat) + indent <= _LINE and "\n" not in flat:
        return flat
    margin = " " * (indent + 4)
    return "dict(\n" + "".join(f"{margin}{item},\n" for item in items) + " " * indent + ")"
