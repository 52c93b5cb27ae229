"""Detect the image protocol a terminal supports. Light imports only."""

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Mapping

GRAPHICS = ("kitty", "sixel", "blocks")
"""Kitty's protocol with Unicode placeholders; sixel; coloured half-blocks, which any terminal can."""
OWN_VARIABLES = (
    "KITTY_WINDOW_ID",
    "GHOSTTY_RESOURCES_DIR",
    "WEZTERM_PANE",
    "KONSOLE_VERSION",
    "WT_SESSION",
    "ITERM_SESSION_ID",
    "XTERM_VERSION",
)
"""By which terminals that answer tell programs in them; also those that another terminal is started from."""
_TERMS = ("kitty", "ghostty", "foot", "mlterm", "contour", "wezterm")
_MULTIPLEXERS = ("TMUX", "STY")
_ASK = b"\x1b[>q\x1b[c"
"""XTVERSION, then DA1, which all answer: an answer to DA1 alone means that the name is not told."""
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_PLACEHOLDERS_SINCE = (0, 28)
_PATIENCE_S = 1.0


def terminal_graphics(environ: Mapping[str, str]) -> str:
    """The best of ``GRAPHICS`` for the terminal of this process; to be called before the UI reads keys.

    Only a terminal that is known to answer is asked: the answer of one that is late would arrive among
    the keys.  Within tmux or screen it is half-blocks, for they pass no pictures on.
    """
    term = environ.get("TERM", "")
    hidden = term.startswith(("tmux", "screen")) or any(name in environ for name in _MULTIPLEXERS)
    answers = any(name in term for name in _TERMS) or any(name in environ for name in OWN_VARIABLES)
    if hidden or not answers or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "blocks"
    return graphics_of(_ask())


def graphics_of(answer: bytes) -> str:
    """The best that a terminal can which answers so."""
    name, attributes = _NAME.search(answer), _ATTRIBUTES.search(answer)
    if name and _has_placeholders(name[1].decode("utf-8", "replace")):
        return "kitty"
    return "sixel" if attributes and b"4" in attributes[1].split(b";")[1:] else "blocks"


def _has_placeholders(name: str) -> bool:
    kitty = re.match(r"kitty\((\d+)\.(\d+)", name)
    if kitty:
        return (int(kitty[1]), int(kitty[2])) >= _PLACEHOLDERS_SINCE
    return name.startswith("ghostty")


def _ask() -> bytes:
    keyboard, before = sys.stdin.fileno(), termios.tcgetattr(sys.stdin.fileno())
    answer, end = b"", time.monotonic() + _PATIENCE_S
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)  # no echo
        os.write(sys.stdout.fileno(), _ASK)
        while not _ATTRIBUTES.search(answer):
            if not select.select([keyboard], [], [], max(end - time.monotonic(), 0))[0]:
                break
            piece = os.read(keyboard, 1024)
            if not piece:
                break
            answer += piece
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return answer
