"""Text from files, made safe for a terminal: no control characters, no escape sequences.

Imports nothing heavy.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
"""Titles, clipboard, …; no start of another inside, so that the time is that of one pass."""
_CONTROL = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
"""Colours, cursor, …"""
_SEQUENCES = re.compile(f"{_STRING}|{_CONTROL}")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def plain(text: str, *, keep: str = "", longest: int | None = None) -> str:
    """``text`` without anything that a terminal would obey.

    Args:
        text: anything; half a surrogate pair, which cannot be printed, becomes a question mark.
        keep: control characters to leave as they are, such as a newline; others that are white
            space become blanks.
        longest: how many characters to keep.
    """
    if text.isprintable():
        return text[:longest]
    return _SEQUENCES.sub("", text).translate(_printable(keep))[:longest]


def plain_but_coloured(text: str) -> str:
    """What a command prints, with its lines, progress bars and colours; a terminal obeys nothing else."""
    if text.replace("\n", "").isprintable():
        return text
    parts = _COLOUR.split(text)
    return "".join(part if at % 2 else plain(part, keep="\n\t\r") for at, part in enumerate(parts))


class PlainOutput:
    """A text stream that passes on ``plain_but_coloured`` text only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, made safe."""
        self._stream.write(plain_but_coloured(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def plain_json(text: str) -> str:
    """JSON in which what is not printable is written as an escape: the same value, safe to print."""
    return text.translate(_ESCAPED)


def plain_line(line: str) -> str:
    """A line of a log: of a progress bar only its last state, tabs as blanks."""
    return plain(line.rstrip("\r").rpartition("\r")[2], keep="\t").expandtabs(8)


class _Translation(dict[int, str]):
    """For ``str.translate``: what each character becomes, remembered once it was met."""

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self._change = change

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if character.isprintable() else self._change(character)
        return self[code]


@cache
def _printable(keep: str) -> _Translation:
    def change(character: str) -> str:
        if character in keep:
            return character
        if "\ud800" <= character <= "\udfff":
            return "?"
        return " " if character.isspace() else ""

    return _Translation(change)


def _escape(character: str) -> str:
    units = b"" if character == "\n" else character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)) or character


_ESCAPED = _Translation(_escape)
