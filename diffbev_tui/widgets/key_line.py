"""The last line: the keys that work here, in the language of the UI."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from diffbev_tui.i18n import language, tr_if_key
from diffbev_tui.widgets.line import Line

_NAMES = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "slash": "/",
    "ampersand": "&",
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


_KEY_OF_NAME = {name: key for key, name in _NAMES.items()}
_ALWAYS = ("?", "q")
"""Keys that are shown whatever the width."""
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
        if not _words(binding) or not (binding.show or all_keys) or _refused(active.node, binding):
            continue
        entry = (binding.action, _words(binding))
        found.setdefault(entry, []).append(key_name(binding.key))
        owners[entry] = type(active.node).__name__
    return [(" ".join(keys), entry[1], owners[entry]) for entry, keys in found.items()]


def _refused(node: DOMNode, binding: Binding) -> bool:
    """Whether the action is one that a read-only screen refuses: it is not offered there."""
    writes: frozenset[str] = getattr(node, "WRITES", frozenset())
    return bool(getattr(node, "read_only", False)) and binding.action.partition("(")[0] in writes


def commands_of(screen: Screen[object]) -> list[tuple[str, str, str, DOMNode]]:
    """(what it does, key, action, its widget) of every binding that works now, one per action."""
    found: dict[str, tuple[str, str, str, DOMNode]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        words = _words(binding)
        if words and not _refused(active.node, binding):
            words = words[:1].upper() + words[1:]
            found.setdefault(binding.action, (words, key_name(binding.key), binding.action, active.node))
    return list(found.values())


def _words(binding: Binding) -> str:
    """What a key does; "" for keys of Textual's widgets that need no words, such as the arrows."""
    key = _WORDS_OF_TEXTUAL.get(binding.description, binding.description)
    words = tr_if_key(key)
    return words if words != key else ""


class KeyLine(Line):
    """``s smooth  e log y …  ? help  q quit``; a click does what the key does.

    Help and quit are always there; what does not fit before them is under ``?``.
    """

    _shown_for: tuple[object, ...] = ()
    _spots: tuple[tuple[int, int, str], ...] = ()
    """First cell, one past the last, key."""

    def show(self, *, read_only: bool) -> None:
        """Show the keys of the widget in focus and of the app.

        Args:
            read_only: whether what writes is refused now; it is not offered then.
        """
        width = self.size.width or self.app.size.width
        now = (self.screen, self.screen.focused, language(), width, read_only)
        if now == self._shown_for:  # which keys work takes longer to find out than all else that is idle
            return
        self._shown_for = now
        keys = [(keys.split()[0], what) for keys, what, _ in keys_of(self.screen)]
        last = [pair for pair in keys if pair[0] in _ALWAYS]
        others = [pair for pair in keys if pair not in last]
        line, self._spots = laid_out(others, last, width)
        self.put(line)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        for first, end, key in self._spots:
            if first <= event.x < end:
                self.app.simulate_key(_KEY_OF_NAME.get(key, key))


def laid_out(
    keys: Sequence[tuple[str, str]], last: Sequence[tuple[str, str]], width: int
) -> tuple[Text, tuple[tuple[int, int, str], ...]]:
    """The line and where each key is: as many ``keys`` as fit, ``last`` at the right end."""
    right = sum(_cells(pair) for pair in last)
    shown: list[tuple[str, str]] = []
    room = width - 1 - right
    for pair in keys:
        cells = _cells(pair)
        if cells > room - (0 if pair is keys[-1] else 2):
            break
        shown.append(pair)
        room -= cells
    line, spots = Text(" ", no_wrap=True, overflow="ellipsis"), []
    for pair in shown:
        spots.append(_append(line, pair))
    line.append(("… " if len(shown) < len(keys) else "").rjust(room) if room > 0 else "", "dim")
    for pair in last:
        spots.append(_append(line, pair))
    return line, tuple(spots)


def _append(line: Text, pair: tuple[str, str]) -> tuple[int, int, str]:
    first = line.cell_len
    line.append(pair[0], "bold")
    line.append(f" {pair[1]}", "dim")
    spot = (first, line.cell_len, pair[0])
    line.append("  ")
    return spot


def _cells(pair: tuple[str, str]) -> int:
    return cell_len(pair[0]) + 1 + cell_len(pair[1]) + 2
