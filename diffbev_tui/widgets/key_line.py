"""The last line: the keys that work here, in the language of the UI."""

from rich.text import Text
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from diffbev_tui.i18n import language, tr_if_key
from diffbev_tui.widgets.line import Line

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


def commands_of(screen: Screen[object]) -> list[tuple[str, str, DOMNode]]:
    """(what it does, action, the widget that does it) of every binding that works now, one an action."""
    found: dict[str, tuple[str, str, DOMNode]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description:
            words = tr_if_key(binding.description)
            found.setdefault(binding.action, (words, binding.action, active.node))
    return list(found.values())


class KeyLine(Line):
    """``s smooth  e log y …``; what does not fit is under ``?``."""

    _worked_out_for: tuple[object, ...] = ()

    def show(self) -> None:
        """Show the keys of the widget in focus and of the app."""
        now = (self.screen, self.screen.focused, language())
        if now == self._worked_out_for:  # which keys work takes longer to find out than all else that is idle
            return
        self._worked_out_for = now
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        for keys, what, _ in keys_of(self.screen):
            line.append(keys, "bold")
            line.append(f" {what}   ", "dim")
        self.put(line)
