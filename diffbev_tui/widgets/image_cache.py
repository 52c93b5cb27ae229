"""How pictures side by side fill a part of a terminal. Imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass

CELL_RATIO = 2.0
"""Height of a cell by its width, about the same in every terminal."""
GAP = 1
"""Columns between two pictures."""


@dataclass(frozen=True)
class Place:
    """Where a picture goes, in cells."""

    row: int
    """Of pictures."""
    columns: int
    rows: int


def arrange(ratios: Sequence[float], columns: int, rows: int, caption: int = 1) -> tuple[Place, ...]:
    """Lay pictures out in rows so that they become as large as they can.

    Args:
        ratios: width by height of each picture.
        columns: of the terminal that there are.
        rows: the same.
        caption: rows that each picture needs above it.
    """
    layouts = [_in_rows(ratios, count, columns, rows, caption) for count in range(1, len(ratios) + 1)]
    return max(layouts, key=lambda places: sum(place.columns * place.rows for place in places), default=())


def _in_rows(ratios: Sequence[float], count: int, columns: int, rows: int, caption: int) -> tuple[Place, ...]:
    """``count`` rows of pictures; all of a row are equally high."""
    each = -(-len(ratios) // count)
    most = max(rows // count - caption, 1)
    places = []
    for number in range(count):
        line = ratios[number * each : (number + 1) * each]
        if not line:
            break
        free = max(columns - GAP * (len(line) - 1), len(line))
        height = min(most, max(int(free / (sum(line) * CELL_RATIO)), 1))
        places += [
            Place(number, max(min(int(ratio * height * CELL_RATIO), free), 1), height) for ratio in line
        ]
    return tuple(places)
