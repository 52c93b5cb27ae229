"""What a terminal can show: its colours, and on the Linux console no more characters than those of a PC."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.filter import ANSIToTruecolor, LineFilter

_SIGNS = {
    **dict(zip("✓✗●○★▶▰▱▲▼▸▌…–—→←↑↓·≥≤×┊Δ", "+xo.*>#-^v>|.--><^v-><x:D", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█", "__..--==", strict=True)),
    **dict(zip("“”‘’", "\"\"''", strict=True)),
}
_BRAILLE = " .:+*#"


def is_plain_console(environ: Mapping[str, str]) -> bool:
    """Whether the terminal cannot show braille and most signs."""
    return environ.get("TERM", "") in ("linux", "vt100", "vt220", "ansi", "cons25")


def terminal_filters(
    given: Sequence[LineFilter], theme: TerminalTheme, environ: Mapping[str, str]
) -> list[LineFilter]:
    """The filters of an app, with the colours of ``theme``; a plain console gets its characters."""
    own = _truecolor(theme)
    filters = [own if isinstance(one, ANSIToTruecolor) else one for one in given]
    return [*filters, PlainConsole()] if is_plain_console(environ) else filters


@lru_cache(maxsize=1)
def _truecolor(theme: TerminalTheme) -> ANSIToTruecolor:
    """Kept, as what it remembers of colours is worth more than it is."""
    return ANSIToTruecolor(theme)


class PlainConsole(LineFilter):
    """Replaces each character by one that every console has, cell by cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same segments in plain characters."""
        return [Segment(text.translate(_TABLE), style, control) for text, style, control in segments]


def _braille(code: int) -> str:
    dots = (code - 0x2800).bit_count()
    return _BRAILLE[min((dots + 1) // 2, len(_BRAILLE) - 1)] if dots else " "


_TABLE = str.maketrans(_SIGNS) | {code: _braille(code) for code in range(0x2800, 0x2900)}
