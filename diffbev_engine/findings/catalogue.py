"""The kinds of failure and the wordings that show them; used by training, the doctor and the runbook."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.toml import read_toml

_FILE = Path(__file__).with_name("failures.toml")
_MOST_HITS = 3
_SHOWN = 300
_PROGRESS = re.compile(
    r"\biter\w{0,8}(?:\(\w{1,8}\))? ?\[? {0,8}\d+ ?/ ?\d+"  # iter 5/9, Iter [5/9], Iter(train) [ 5/9]
    r"|\bepoch ?\[\d+\] ?\[\d+/\d+\]"
    r"|\bfinished after \d+"
)
_FINISHED = "finished after "
_LINES_OF_PROGRESS = 3
"""Training continued after a message that this many lines of progress follow: it was no failure."""
_WARNINGS = re.compile(
    r"warning: |\[warning\]"
    r"|^(?:\[rank\d+\]:)?\[?w\d{4} "  # of glog: W0306 14:40:15
    r"|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? (?:w|warning)\b"
)
_RANK = re.compile(r"^\s*(?:\[[\w ]{1,16}\]: ?)?")
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\t"
"""Of ``splitlines``, and tabs."""


@dataclass(frozen=True)
class Wording:
    """Plain text of one line, in parts with anything between them."""

    parts: tuple[str, ...]
    at_start: bool = False
    at_end: bool = False

    @classmethod
    def parse(cls, text: str) -> "Wording":
        """``*`` stands for any text, ``^`` and ``$`` for the ends of the line."""
        bare = text.removeprefix("^").removesuffix("$").lower()
        parts = tuple(part for part in bare.split("*") if part)
        return cls(parts, text.startswith("^"), text.endswith("$"))

    @property
    def needle(self) -> str:
        """The longest part: a text without it has no such line."""
        return max(self.parts, key=len)

    def find(self, line: str) -> int:
        """Where ``line``, in lower case, has this wording; -1 if it has not."""
        start = _RANK.match(line).end() if self.at_start else 0  # type: ignore[union-attr]
        if self.at_start and not line.startswith(self.parts[0], start):
            return -1
        first = position = line.find(self.parts[0], start)
        for part in self.parts:
            position = line.find(part, position)
            if position < 0:
                return -1
            position += len(part)
        return -1 if self.at_end and line[position:].strip() else first


class Strength(IntEnum):
    """How surely a wording means its kind of failure."""

    POSSIBLE = 1
    OFTEN = 2
    CERTAIN = 3


@dataclass(frozen=True)
class Kind:
    """One kind of failure."""

    id: str
    certain: tuple[Wording, ...]
    often: tuple[Wording, ...] = ()
    """Usually this kind; ``doubt`` names what else it can be."""
    possible: tuple[Wording, ...] = ()
    """Perhaps this kind."""
    unless: tuple[Wording, ...] = ()
    doubt: Bilingual = EMPTY

    @property
    def wordings(self) -> Iterator[tuple[Strength, Wording]]:
        """Every wording, most reliable first."""
        yield from ((Strength.CERTAIN, wording) for wording in self.certain)
        yield from ((Strength.OFTEN, wording) for wording in self.often)
        yield from ((Strength.POSSIBLE, wording) for wording in self.possible)


@dataclass(frozen=True)
class Sign:
    """A line that shows a kind of failure."""

    kind: Kind
    line: int
    """From 1."""
    text: str
    strength: Strength
    warning: bool
    """Whether the line calls itself a warning."""
    passed: bool
    """Whether training continued after it."""

    @property
    def proves(self) -> bool:
        """Whether it shows why a run failed, as far as one line can."""
        return self.strength is not Strength.POSSIBLE and not self.warning and not self.passed


class LogText:
    """The lines of one log, prepared for searching."""

    def __init__(self, text: str, name: str = "") -> None:
        self.name = name
        self.lines = plain(text, keep=_LINE_ENDS).splitlines()
        self._folded = [line.lower() for line in self.lines]
        self._progress = [i for i, line in enumerate(self._folded) if _is_progress(line)]
        good = {i for i in self._progress if not _has_bad_number(self._folded[i])}
        # Lines of progress are nearly all of a long log.
        self._searched = [i for i in range(len(self.lines)) if i not in good]
        self._text = "\n".join(self._folded[i] for i in self._searched)
        self._starts = list(accumulate((len(self._folded[i]) + 1 for i in self._searched), initial=0))

    def last_lines(self, wording: Wording) -> Iterator[tuple[int, int]]:
        """(line index, position in it) of the lines with this wording, the last first."""
        end, needle = len(self._text), wording.needle
        while (found := self._text.rfind(needle, 0, end)) >= 0:
            place = bisect_right(self._starts, found) - 1
            end, index = self._starts[place], self._searched[place]
            if (position := wording.find(self._folded[index])) >= 0:
                yield index, position

    def has(self, wordings: Iterable[Wording], index: int) -> bool:
        """Whether a line has one of these wordings."""
        return any(wording.find(self._folded[index]) >= 0 for wording in wordings)

    def is_warning(self, index: int) -> bool:
        """Whether a line calls itself a warning."""
        return bool(_WARNINGS.search(self._folded[index]))

    @property
    def ended_well(self) -> bool:
        """Whether the last that happened is that training finished."""
        end = max((i for i in self._progress if _FINISHED in self._folded[i]), default=None)
        return end is not None and not any(
            "traceback (" in line or "error" in line for line in self._folded[end + 1 :]
        )

    def went_on_after(self, index: int) -> bool:
        """Whether training made progress after a line, or finished."""
        after = self._progress[bisect_right(self._progress, index) :]
        return len(after) >= _LINES_OF_PROGRESS or any(_FINISHED in self._folded[i] for i in after)


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind of failure by its id."""

    def wordings(table: Mapping[str, Any], key: str) -> tuple[Wording, ...]:
        return tuple(map(Wording.parse, table.get(key, ())))

    return {
        table["id"]: Kind(
            table["id"],
            certain=wordings(table, "certain"),
            often=wordings(table, "often"),
            possible=wordings(table, "possible"),
            unless=wordings(table, "unless"),
            doubt=Bilingual(**table["doubt"]) if "doubt" in table else EMPTY,
        )
        for table in read_toml(_FILE)["kind"]
    }


def signs_of(kind: Kind, log: LogText) -> list[Sign]:
    """The last lines of a log that show ``kind``, the most convincing first."""
    hits: dict[int, tuple[Strength, int]] = {}
    for strength, wording in kind.wordings:
        lines = (hit for hit in log.last_lines(wording) if not log.has(kind.unless, hit[0]))
        for index, position in islice(lines, _MOST_HITS):
            hits.setdefault(index, (strength, position))
    found = [
        Sign(
            kind,
            index + 1,
            _cut(log.lines[index], position),
            strength,
            warning=log.is_warning(index),
            passed=log.went_on_after(index),
        )
        for index, (strength, position) in hits.items()
    ]
    found.sort(key=lambda sign: (not sign.proves, -sign.strength, -sign.line))
    return found[:_MOST_HITS]


def says(kind: str, message: str, at_least: Strength = Strength.CERTAIN) -> bool:
    """Whether the message of an exception shows a kind of failure."""
    return any(sign.strength >= at_least for sign in signs_of(kinds()[kind], LogText(message)))


def _is_progress(line: str) -> bool:
    return ("iter" in line or "epoch" in line or _FINISHED in line) and bool(_PROGRESS.search(line))


def _has_bad_number(line: str) -> bool:
    return "nan" in line or "inf" in line.replace("info", "")


def _cut(line: str, position: int) -> str:
    """What to show of a line: its beginning, or what is around the wording."""
    line = line.strip()
    if position < _SHOWN // 2:
        return line[:_SHOWN]
    return f"…{line[position - _SHOWN // 4 :][: _SHOWN - 1]}"
