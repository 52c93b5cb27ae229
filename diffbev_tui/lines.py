"""Lines of a screen: pieces with a tone, texts in cells, cut and wrapped by width. No Textual."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, get_character_cell_size

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.i18n import language, tr

Tone = Literal["", "bold", "dim", "good", "bad", "warn", "accent"]
Piece = tuple[str, Tone]
Line = tuple[Piece, ...]
"""One row of a screen, without a colour of its own: a tone tells what a piece means."""


@dataclass(frozen=True)
class Row:
    """One row of a list; a row without a key cannot be chosen."""

    key: str
    line: Line


TONES: dict[StepState, Tone] = {
    StepState.PENDING: "dim",
    StepState.RUNNING: "accent",
    StepState.PASSED: "good",
    StepState.FAILED: "bad",
    StepState.SKIPPED: "dim",
    StepState.STALE: "warn",
}
_PLAIN = str.maketrans({"“": '"', "”": '"', "…": "..", "·": "-", "×": "x"})
_DAY_S = 86_400.0


def say(text: Bilingual, roots: WorkspacePaths | None) -> str:
    """A text of the runbook in the language of the UI."""
    words = (roots.words(text) if roots else text)[language()]
    # One cell here, two on many Chinese terminals: the row would be cut wrong.
    return words.translate(_PLAIN).strip() if language() == "zh" else words.strip()


def fit(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells, its end cut or filled with blanks."""
    missing = width - cell_len(text)
    return (
        text + " " * missing
        if missing >= 0
        else cut(text, width) + " " * (width - cell_len(cut(text, width)))
    )


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells; what is cut is marked."""
    if cell_len(text) <= width:
        return text
    mark = ".." if language() == "zh" else "…"
    room = width - cell_len(mark)
    return "" if room < 0 else _head(text, room) + mark


def wrap(text: str, width: int) -> list[str]:
    """Rows of at most ``width`` cells, broken at blanks or between Chinese characters, else anywhere."""
    rows = []
    for line in text.split("\n"):
        indent = " " * _hang(line)
        rest = line
        while cell_len(rest) > width > cell_len(indent) + 1:
            head = _head(rest, width)
            end = _place_to_break(rest, len(head), len(rest) - len(rest.lstrip()))
            rows.append(rest[:end].rstrip())
            rest = indent + rest[end:].lstrip()
        rows.append(rest)
    return rows


def flow(units: Iterable[Line], width: int, *, indent: int = 3, gap: int = 2) -> list[Line]:
    """Units one after the other; one that does not fit begins the next row, broken if longer than that.

    Args:
        units: what should stay together.
        width: of a row, in cells.
        indent: of every row but the first, which goes in by one.
        gap: blanks between two units.
    """
    rows: list[Line] = []
    row: Line = ((" ", ""),)
    empty = True
    for unit in units:
        if not empty and width_of(row) + gap + width_of(unit) > width:
            rows.append(row)
            row, empty = ((" " * indent, ""),), True
        if width_of(row) + width_of(unit) > width:
            *full, rest = wrap("".join(text for text, _ in unit), width - indent)
            tone = unit[0][1]
            for part in full:
                rows.append((*row, (part, tone)))
                row = ((" " * indent, ""),)
            unit = ((rest, tone),)
        row = (*row, *unit) if empty else (*row, (" " * gap, ""), *unit)
        empty = False
    return [*rows, row]


def width_of(line: Iterable[Piece]) -> int:
    """Cells of a row."""
    return sum(cell_len(text) for text, _ in line)


def ago(when: float, now: float) -> str:
    """``just now``, ``12 min ago``, ``today 09:15``, ``yesterday 21:04``, ``2026-11-22 21:04``."""
    seconds = now - when
    if 0 <= seconds < 60:
        return tr("runbook.just_now")
    if 0 <= seconds < 3600:
        return tr("runbook.minutes_ago", minutes=int(seconds // 60))
    clock = time.strftime("%H:%M", time.localtime(when))
    if _day(when) == _day(now):
        return tr("runbook.today", clock=clock)
    if _day(when) == _day(now - _DAY_S):
        return tr("runbook.yesterday", clock=clock)
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def _hang(line: str) -> int:
    """How far the second row of a line goes in: behind its mark, a command further than its next line."""
    inside = len(line) - len(line.lstrip())
    if line[inside : inside + 2] == "$ ":
        return inside + 4
    name, blanks, _ = line.partition("  ")
    if blanks and name and " " not in name:  # of a step, its title behind it
        return len(name) + 2
    return inside + 2 if inside or line[1:2] == " " else 0


def _day(when: float) -> tuple[int, int]:
    local = time.localtime(when)
    return local.tm_year, local.tm_yday


def _head(text: str, room: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += get_character_cell_size(character)
        if used > room:
            return text[:index]
    return text


def _place_to_break(text: str, most: int, least: int) -> int:
    for end in range(most, least, -1):
        if text[end] == " " or text[end - 1] == " ":
            return end
        wide = get_character_cell_size(text[end]) == 2
        if wide and text[end] not in "，。；：！？、）" and text[end - 1] != "（":
            return end
    slash = text.rfind("/", least + (most - least) // 2, most)  # of a long path
    return slash + 1 if slash > 0 else max(most, least + 1)
