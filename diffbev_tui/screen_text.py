"""A screen as plain text, from the picture of it that Textual writes by its public function."""

import html
import re

from rich.cells import cell_len

_PIECE = re.compile(
    r'<text[^>]*? x="(?P<x>[\d.]+)"[^>]*? textLength="(?P<length>[\d.]+)"'
    r'[^>]*?line-(?P<line>\d+)\)"[^>]*>(?P<text>.*?)</text>',
    re.DOTALL,
)
_CELL = 12.2
"""Width of a character in these pictures."""


def text_of(svg: str) -> str:
    """The characters of an SVG screenshot, line by line, without blanks at the ends."""
    rows: dict[int, list[tuple[int, str]]] = {}
    for piece in _PIECE.finditer(svg):
        text = html.unescape(piece["text"]).replace("\xa0", " ")
        rows.setdefault(int(piece["line"]), []).append((round(float(piece["x"]) / _CELL), text))
    lines = []
    for number in range(max(rows, default=-1) + 1):
        line, used = "", 0
        for column, text in sorted(rows.get(number, [])):
            line += " " * (column - used) + text.rstrip("\n")
            used = max(used, column) + cell_len(text.rstrip("\n"))
        lines.append(line.rstrip())
    return "\n".join(lines)
