"""Training rows exactly as this program writes them, many at once.

They are turned into JSON, whose decoder reads numbers, checks the shape of every row and is three times as
fast as splitting lines and calling ``float``; the numbers are the same to the last bit.
"""

import re
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Literal

import msgspec

from diffbev_engine.runs.metrics.dialect import COLUMNS, SCORES

_TRAIN, _NO_SCORES = '"t"', '"s"'
"""What stands for ``train,train`` and for the blank cells of an evaluation's scores."""
_FIRST_SCORE = COLUMNS.index(SCORES[0])
_BLANK_SCORES = "," * (len(SCORES) + 1)
_BEFORE, _AFTER = COLUMNS[3:_FIRST_SCORE], COLUMNS[_FIRST_SCORE + len(SCORES) :]
_NEGATIVE_ZERO = re.compile(r",-0$|,-0,", re.M)
_PLACES = {
    **{name: place for place, name in enumerate(_BEFORE, start=2)},
    **{name: place for place, name in enumerate(_AFTER, start=3 + len(_BEFORE))},
}
"""Where the columns are once a row is JSON."""

Numbers = Sequence[float | None]


class OwnRows:
    """The columns of some rows, each taken from them when it is asked for: most charts need a few."""

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self._rows = rows
        self.steps: Sequence[int] = self._column(0)
        """Not checked: may go back."""

    def values(self, name: str) -> Numbers:
        """A column that is no score; ``None`` for a blank cell."""
        return self._column(_PLACES[name])

    def _column(self, place: int) -> list[Any]:
        return list(map(itemgetter(place), self._rows))


def own_rows(text: str) -> OwnRows | None:
    """The rows in ``text``; ``None`` if anything in it is not as expected, or not finite."""
    if '"' in text or "[" in text:
        return None
    if "-" in text and ",-0" in text and _NEGATIVE_ZERO.search(text):  # as an integer it would lose its sign
        return None
    found = text.replace("train,train", _TRAIN).replace(_BLANK_SCORES, f",{_NO_SCORES},")
    found = "[[" + found.replace("\n", "],[") + "]]"
    try:
        decoded = _decode(found)
    except msgspec.MsgspecError:
        if ",," not in found and ",]" not in found:
            return None
        try:  # with blank cells, which take time to be replaced
            decoded = _decode(found.replace(",,", ",null,").replace(",,", ",null,").replace(",]", ",null]"))
        except msgspec.MsgspecError:
            return None
    return OwnRows(decoded)


def _decode(rows: str) -> list[tuple[Any, ...]]:
    return _decoder().decode(rows)


@cache
def _decoder() -> "msgspec.json.Decoder[list[tuple[Any, ...]]]":
    number: Any = float | None
    row: Any = (
        *(int, Literal["t"], *[number] * len(_BEFORE)),
        *(Literal["s"], *[number] * len(_AFTER)),
    )
    shape: Any = list[tuple[row]]
    return msgspec.json.Decoder(shape)
