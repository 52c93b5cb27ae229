"""Files of the UI itself: settings and the last copied text."""

from pathlib import Path

from platformdirs import user_config_path, user_state_path

from diffbev_engine.core.files import write_text

_NAME = "diffbev-tui"


def settings_file() -> Path:
    """Where language and theme are remembered."""
    return user_config_path(_NAME) / "settings.toml"


def clip_file() -> Path:
    """Where copied text is kept for terminals that take no OSC 52."""
    return user_state_path(_NAME) / "clip.txt"


def keep_clip(text: str) -> Path:
    """Keep ``text`` as the last copied text.

    Raises:
        OSError: the file cannot be written.
    """
    path = clip_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
