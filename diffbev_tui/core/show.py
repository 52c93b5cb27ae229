"""Format numbers with units; a dash for unknown values."""

from rich.cells import cell_len, set_cell_size

UNKNOWN = "–"


def duration(seconds: float | None) -> str:
    """``5 h 48 m``, ``12 m 03 s``, ``41 s``."""
    if seconds is None or seconds < 0:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} m"
    return f"{minutes} m {rest:02d} s" if minutes else f"{rest} s"


def gib(mib: float | None) -> str:
    """MiB as GiB without the unit."""
    return UNKNOWN if mib is None else f"{mib / 1024:.1f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as ``20.7 %``."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def bar(share: float | None, width: int = 10) -> str:
    """``▰▰▰▱▱▱▱▱▱▱``; nothing where the share is not known."""
    if share is None:
        return ""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "▰" * filled + "▱" * (width - filled)


def left(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells, at the left of them; Chinese characters take two."""
    return set_cell_size(text, width)


def right(text: str, width: int) -> str:
    """The same at the right; what is too long stays whole."""
    return " " * (width - cell_len(text)) + text
