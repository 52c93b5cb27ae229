"""Regular expressions of other people, searched for a limited time.

An expression such as ``(a+)+$`` takes time that doubles with every character, and Python cannot
interrupt it: the search runs in a process of its own.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIMIT_S = 5.0
_LINES = """
import json, re, sys
patterns, flags, lines = json.load(sys.stdin)
compiled = [re.compile(pattern, flags) for pattern in patterns]
json.dump([i for i, line in enumerate(lines) if any(one.search(line) for one in compiled)], sys.stdout)
"""
_LAST = """
import json, re, sys
pattern, text = json.load(sys.stdin)
last = None
for last in re.finditer(pattern, text): pass
json.dump(last and [last.start(), last.group(), last.groups()], sys.stdout)
"""


class TookTooLong(Exception):
    """The expressions were not searched to the end in time."""


@dataclass(frozen=True)
class Found:
    """A match."""

    start: int
    text: str
    groups: tuple[str | None, ...]


def lines_with(patterns: Sequence[str], lines: Sequence[str], *, ignore_case: bool = False) -> list[int]:
    """The indexes of the lines in which one of ``patterns`` is found.

    Raises:
        TookTooLong: after ``LIMIT_S`` seconds.
    """
    flags = int(re.IGNORECASE) if ignore_case else 0
    found: list[int] = _search(_LINES, [list(patterns), flags, list(lines)])
    return found


def last_match(pattern: str, text: str) -> Found | None:
    """The last match of ``pattern`` in ``text``.

    Raises:
        TookTooLong: after ``LIMIT_S`` seconds.
    """
    found = _search(_LAST, [pattern, text])
    return Found(found[0], found[1], tuple(found[2])) if found else None


def _search(program: str, question: list[Any]) -> Any:
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:  # also one that took all memory
        raise TookTooLong from error
    return json.loads(answer.stdout)
