"""Files of the UI itself: settings and the last copied text."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_config_path, user_state_path

from diffbev_engine.core.files import sweep_abandoned, write_text

_NAME = "diffbev-tui"


def _folder(find: Callable[[str], Path]) -> Path:
    """A directory of this user; a temporary one for a user without a home."""
    try:
        return find(_NAME)
    except (RuntimeError, KeyError):
        return Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"


def settings_file() -> Path:
    """Where language and theme are remembered."""
    return _folder(user_config_path) / "settings.toml"


def clip_file() -> Path:
    """Where copied text is kept for terminals that take no OSC 52."""
    return _folder(user_state_path) / "clip.txt"


def keep_clip(text: str) -> Path:
    """Keep ``text`` as the last copied text.

    Raises:
        OSError: the file cannot be written.
    """
    path = clip_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_abandoned(path.parent)
    write_text(path, text, private=True)
    return path
