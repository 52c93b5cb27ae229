"""TOML files, read with the standard library where it can (from Python 3.11 on)."""

import importlib
import sys
from pathlib import Path
from typing import Any

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.regular_file import read_bounded

WORKSPACE_FILE = "workspace.toml"
"""Marks a workspace and holds its settings."""
LARGEST = 1 << 18
"""Bytes of a file that is read."""
_MOST_DOTS = 300


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UsageError: the file cannot be read or is not TOML; the message names file and line.
    """
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content: dict[str, Any] = toml.loads(checked(read_bounded(path, LARGEST).decode("utf-8")))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not valid TOML: nested too deeply.") from error
    except ValueError as error:  # TOMLDecodeError
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    return content


def checked(text: str) -> str:
    """``text``, if it is one that the parser takes apart in no time: that of a key grows with its square.

    Raises:
        ValueError: a line has more dots than any key.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > _MOST_DOTS and line.count(".") > _MOST_DOTS:
            raise ValueError(f"more than {_MOST_DOTS} dots (at line {number})")
    return text
