"""The last error that a run printed or logged, for a run that did not record its own end."""

import re
from collections.abc import Iterable
from pathlib import Path

from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.regular_file import read_end

_TAIL_BYTES = 1 << 16
_LONGEST = 500
_ERROR = re.compile(
    r"^(?:\[rank\d+\]:\s*)?(?:"
    r"(?:[\w./-]+: )?error: (?P<said>\S.*)"
    r"|(?P<raised>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Timeout)\b(?:: .*)?)"
    r"|(?P<fatal>Fatal Python error: .*)"
    r"|\d{4}-\d\d-\d\d [\d:,.]+ [EC] (?P<logged>\S.*)"
    r")\s*$",
    re.MULTILINE,
)
_WORKER_SIGNAL = re.compile(r"Signal \d+ \((SIG[A-Z0-9]+)\) received by PID")
"""As torchrun reports the end of one of its processes."""


def last_error(paths: Iterable[Path]) -> str:
    """The last line that tells an error, of the first file that has one; empty if there is none."""
    for path in paths:
        found = list(_ERROR.finditer(_tail(path)))
        if found:
            return next(text for text in found[-1].groups() if text).strip()[:_LONGEST]
    return ""


def signal_of_a_worker(path: Path) -> str | None:
    """The signal that ended a process of torchrun, from what torchrun printed."""
    found = _WORKER_SIGNAL.findall(_tail(path))
    return found[-1] if found else None


def _tail(path: Path) -> str:
    try:
        text = read_end(path, _TAIL_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return plain(text.replace("\r", "\n"), keep="\n")
