"""Text from files, made safe for a terminal: no control characters, no escape sequences.

Imports nothing heavy.
"""

import re

_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, clipboard, …
_CONTROL = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor, …
_SEQUENCES = re.compile(f"{_STRING}|{_CONTROL}")


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
    return "".join(_printable(one, keep) for one in _SEQUENCES.sub("", text))[:longest]


def plain_line(line: str) -> str:
    """A line of a log: of a progress bar only its last state, tabs as blanks."""
    return plain(line.rstrip("\r").rpartition("\r")[2], keep="\t").expandtabs(8)


def _printable(character: str, keep: str) -> str:
    if character.isprintable() or character in keep:
        return character
    if "\ud800" <= character <= "\udfff":
        return "?"
    return " " if character.isspace() else ""
