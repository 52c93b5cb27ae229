"""Numbers as people read them, in both languages: durations, ages, sizes, shares, scores, counts.

Imports nothing heavy.

Files and JSON keep plain numbers; everything that is shown goes through here. What is not known is a dash.
"""

from diffbev_engine.core.bilingual import Language

UNKNOWN = "–"

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_UNITS: dict[Language, dict[str, str]] = {
    "en": {"second": "s", "minute": "min", "hour": "h", "day": "d"},
    "zh": {"second": "秒", "minute": "分", "hour": "小时", "day": "天"},
}
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def duration(seconds: float | None, language: Language = "en", *, tenths: bool = False) -> str:
    """``41 s``, ``12 min 03 s``, ``5 h 48 min``, ``2 d 3 h``; ``41 秒``, ``12 分 03 秒``.

    With ``tenths`` what takes less than ten seconds has a decimal.
    """
    if seconds is None or seconds < 0:
        return UNKNOWN
    units = _UNITS[language]
    if tenths and round(seconds, 1) < 10:
        return f"{seconds:.1f} {units['second']}"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} {units['day']} {hour} {units['hour']}"
    if hours:
        return f"{hours} {units['hour']} {minute:02d} {units['minute']}"
    if minutes:
        return f"{minutes} {units['minute']} {second:02d} {units['second']}"
    return f"{second} {units['second']}"


def age(seconds: float | None, language: Language = "en") -> str:
    """A time that has passed, in its largest unit: ``41 s``, ``12 min``, ``5 h``; ``12 分钟``."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    unit = next((name for name in ("day", "hour", "minute") if whole >= _SECONDS[name]), "second")
    word = "分钟" if (unit, language) == ("minute", "zh") else _UNITS[language][unit]
    return f"{whole // _SECONDS[unit]} {word}"


def ago(seconds: float | None, language: Language = "en") -> str:
    """``12 min ago``, ``12 分钟前``."""
    if seconds is None:
        return UNKNOWN
    return f"{age(seconds, language)}前" if language == "zh" else f"{age(seconds, language)} ago"


def byte_size(count: float | None, digits: int = 1) -> str:
    """Bytes: ``512 B``, ``38 KiB``, ``16 MiB``, ``12.6 GiB``; ``digits`` from GiB on."""
    if count is None:
        return UNKNOWN
    for power, unit in enumerate(_SIZES):
        value, decimals = count / 1024**power, digits if power > 2 else 0
        if abs(round(value, decimals)) < 1024 or unit == _SIZES[-1]:
            return f"{value:.{decimals}f} {unit}"
    raise AssertionError


def mib_size(count: float | None, digits: int = 1) -> str:
    """A size given in MiB."""
    return byte_size(None if count is None else count * 2**20, digits)


def gib(count: float | None, digits: int = 1) -> str:
    """MiB as GiB without the unit, for columns and for pairs that name it once."""
    return UNKNOWN if count is None else f"{count / 1024:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one: ``41.3%``."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f}%"


def points(score: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """An IoU or a difference of two, 0 to 1, in percentage points: ``7.6``, ``+2.0``."""
    if score is None:
        return UNKNOWN
    rounded = round(100 * score, digits) or 0.0  # never -0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}"


def count(number: int | None) -> str:
    """``20,000``."""
    return UNKNOWN if number is None else f"{number:,}"


def progress(step: int | None, steps: int | None) -> str:
    """Iterations done and planned: ``41,350/200,000``."""
    return UNKNOWN if step is None else f"{step:,}/{count(steps)}"


def step_label(step: float | None) -> str:
    """An iteration in little room, on axes and in tables: ``300``, ``4k``, ``41.35k``, ``1.2M``."""
    if step is None:
        return UNKNOWN
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(step) >= size:
            return f"{step / size:.6g}{unit}"
    return f"{step:.6g}"


def with_unit(number: str, unit: str) -> str:
    """``41%``, ``12.6 GiB``, ``0.3`` without a unit."""
    return f"{number}{'' if unit in ('', '%') else ' '}{unit}"
