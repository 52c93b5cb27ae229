"""Regular expressions of other people, searched for a limited time."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

LIMIT_S = 5.0
_WORKER = """
import json, re, sys
patterns, flags, lines = json.load(sys.stdin)
compiled = [re.compile(pattern, flags) for pattern in patterns]
json.dump([i for i, line in enumerate(lines) if any(one.search(line) for one in compiled)], sys.stdout)
"""


class TookTooLong(Exception):
    """The expressions were not searched to the end in time."""


def lines_with(patterns: Sequence[str], lines: Sequence[str], *, ignore_case: bool = False) -> list[int]:
    """The indexes of the lines in which one of ``patterns`` is found.

    An expression such as ``(a+)+$`` takes time that doubles with every character, and Python cannot
    interrupt it: the search runs in a process of its own.

    Raises:
        TookTooLong: after ``LIMIT_S`` seconds.
    """
    question = json.dumps([list(patterns), int(re.IGNORECASE) if ignore_case else 0, list(lines)])
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _WORKER],
            input=question,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise TookTooLong from error
    found: list[int] = json.loads(answer.stdout)
    return found
