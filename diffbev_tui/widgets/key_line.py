"""The last line: the keys that work here, in the language of the UI."""

from rich.text import Text
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Static

from diffbev_tui.i18n import tr_if_key

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "comma": ",",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def key_name(key: str) -> str:
    """A key as people write it."""
    return _NAMES.get(key, key)


def keys_of(screen: Screen[object], *, all_keys: bool = False) -> list[tuple[str, str, str]]:
    """(keys, what they do, namespace) of the bindings that work now, one entry an action."""
    found: dict[tuple[str, str], list[str]] = {}
    owners: dict[tuple[str, str], str] = {}
    for active in screen.active_bindings.values():
        binding: Binding = active.binding
        if not binding.description or not (binding.show or all_keys):
            continue
        entry = (binding.action, binding.description)
        found.setdefault(entry, []).append(key_name(binding.key))
        owners[entry] = type(active.node).__name__
    return [(" ".join(keys), tr_if_key(entry[1]), owners[entry]) for entry, keys in found.items()]


class KeyLine(Static):
    """``s smooth  e log y …``; what does not fit is under ``?``."""

    def show(self) -> None:
        """Show the keys of the widget in focus and of the app."""
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        for keys, what, _ in keys_of(self.screen):
            line.append(keys, "bold")
            line.append(f" {what}   ", "dim")
        self.update(line)
