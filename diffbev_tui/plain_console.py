"""Characters for terminals that have no more than the letters of a PC: the Linux console."""

from collections.abc import Mapping

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SIGNS = {
    **dict(zip("✓✗●○★▶▰▱▲▼▸▌…–—→←↑↓·≥≤×┊Δ", "+xo.*>#-^v>|.--><^v-><x:D", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█", "__..--==", strict=True)),
    **dict(zip("“”‘’", "\"\"''", strict=True)),
}
_BRAILLE = " .:+*#"


def is_plain_console(environ: Mapping[str, str]) -> bool:
    """Whether the terminal cannot show braille and most signs."""
    return environ.get("TERM", "") in ("linux", "vt100", "vt220", "ansi", "cons25")


class PlainConsole(LineFilter):
    """Replaces each character by one that every console has, cell by cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same segments in plain characters."""
        return [Segment(text.translate(_TABLE), style, control) for text, style, control in segments]


def _braille(code: int) -> str:
    dots = (code - 0x2800).bit_count()
    return _BRAILLE[min((dots + 1) // 2, len(_BRAILLE) - 1)] if dots else " "


_TABLE = str.maketrans(_SIGNS) | {code: _braille(code) for code in range(0x2800, 0x2900)}
