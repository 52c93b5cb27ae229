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
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


_WORDS_OF_TEXTUAL = {
    "Focus Next": "app.key_focus_next",
    "Focus Previous": "app.key_focus_previous",
    "Copy selected text": "app.key_copy_selected",
}
"""Descriptions of keys that every Textual app has, and ours."""


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
    return [(" ".join(keys), _words(entry[1]), owners[entry]) for entry, keys in found.items()]


def commands_of(screen: Screen[object]) -> list[tuple[str, str, DOMNode]]:
    """(what it does, action, the widget that does it) of every binding that works now, one an action."""
    found: dict[str, tuple[str, str, DOMNode]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description:
            words = _words(binding.description)
            found.setdefault(binding.action, (words, binding.action, active.node))
    return list(found.values())


def _words(description: str) -> str:
    return tr_if_key(_WORDS_OF_TEXTUAL.get(description, description))


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
