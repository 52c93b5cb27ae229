"""What the UI remembers about its user: language, theme, pace, smoothing and how pictures are drawn."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.files import sweep_abandoned, write_text
from diffbev_engine.core.toml import read_toml
from diffbev_tui.terminal_graphics import GRAPHICS

PACES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between two checks of the files."""
AUTO = -1.0
SMOOTHINGS = (AUTO, 0.0, 0.6, 0.9, 0.97)
"""Of losses: the weight of what was before; ``AUTO``: where curves lie over each other."""


@dataclass(frozen=True)
class Preferences:
    """Empty text: not chosen."""

    language: str = ""
    theme: str = ""
    pace: float = 1.0
    smoothing: float = AUTO
    """With which the monitor begins."""
    graphics: str = ""
    """One of ``GRAPHICS``."""


def read_preferences(path: Path) -> Preferences:
    """The remembered choices; what is missing or damaged is as if never chosen."""
    try:
        content = read_toml(path) if path.exists() else {}
    except UsageError:
        content = {}
    found = Preferences()
    for name, default in asdict(found).items():
        value = content.get(name)
        if isinstance(value, type(default)):
            found = replace(found, **{name: value})
    known = found.pace in PACES and found.language in ("", "zh", "en") and found.smoothing in SMOOTHINGS
    return found if known and found.graphics in ("", *GRAPHICS) else Preferences(theme=found.theme)


def write_preferences(path: Path, chosen: Preferences) -> None:
    """Remember the choices.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_abandoned(path.parent)
    lines = [f"language = {_quoted(chosen.language)}", f"theme = {_quoted(chosen.theme)}"]
    lines += [f"pace = {chosen.pace}", f"smoothing = {chosen.smoothing}"]
    lines += [f"graphics = {_quoted(chosen.graphics)}", ""]
    write_text(path, "\n".join(lines), private=True)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
