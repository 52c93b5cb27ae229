"""Bars and columns of text, and times in the language of the screen."""

from collections.abc import Sequence
from datetime import datetime
from math import isfinite

from rich.cells import cell_len, set_cell_size

from diffbev_engine.core import format
from diffbev_tui.i18n import language


def duration(seconds: float | None, *, tenths: bool = False) -> str:
    """``5 h 48 min``, ``12 min 03 s``, ``41 s``; with ``tenths`` ``0.4 s``."""
    return format.duration(seconds, language(), tenths=tenths)


def age(seconds: float | None) -> str:
    """A time that has passed: ``12 min``."""
    return format.age(seconds, language())


_WEEKDAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}


def clock(then: float, now: float) -> str:
    """``03:12``; in the coming week ``Sat 03:12``; else ``11-27 03:12``, in another year ``2026-11-27``."""
    moment, today = datetime.fromtimestamp(then), datetime.fromtimestamp(now)
    days = (moment.date() - today.date()).days
    if days == 0:
        return f"{moment:%H:%M}"
    if 0 < days < 7:
        return f"{_WEEKDAYS[language()][moment.weekday()]} {moment:%H:%M}"
    return f"{moment:%m-%d %H:%M}" if moment.year == today.year else f"{moment:%Y-%m-%d}"


def bar(share: float | None, width: int = 10) -> str:
    """``▰▰▰▱▱▱▱▱▱▱``; nothing where the share is not known."""
    if share is None:
        return ""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "▰" * filled + "▱" * (width - filled)


_LEVELS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int) -> str:
    """The course of ``values`` in at most ``width`` cells, from their lowest to their highest."""
    finite = [value for value in values if isfinite(value)]
    if not finite or width < 1:
        return ""
    count = min(width, len(finite))
    shown = [finite[place * (len(finite) - 1) // max(count - 1, 1)] for place in range(count)]
    low, high = min(shown), max(shown)
    span = high - low or 1.0
    return "".join(_LEVELS[round((value - low) / span * (len(_LEVELS) - 1))] for value in shown)


def left(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells, at the left of them; Chinese characters take two."""
    return set_cell_size(text, width)


def right(text: str, width: int) -> str:
    """The same at the right; what is too long stays whole."""
    return " " * (width - cell_len(text)) + text
