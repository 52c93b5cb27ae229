"""Result of one check: severity, description, location, fix."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from diffbev_engine.core.bilingual import EMPTY, Bilingual


class Level(str, Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The run can start; look at it first."""
    ERROR = "error"
    """The run would fail, at once or days later."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    what: Bilingual
    where: str = ""
    """A path, a setting, a device."""
    do: Bilingual = EMPTY

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "check": self.check,
            "level": self.level.value,
            "what": self.what.to_json(),
            "where": self.where or None,
            "do": self.do.to_json() if self.do else None,
        }


class NotLooked(Exception):
    """A check has nothing to look at; ``why`` says so."""

    def __init__(self, why: Bilingual) -> None:
        super().__init__(why.en)
        self.why = why


def ok(check: str, what: Bilingual, where: object = "") -> Finding:
    """All is well."""
    return Finding(check, Level.OK, what, str(where))


def warning(check: str, what: Bilingual, where: object, do: Bilingual) -> Finding:
    """Worth a look."""
    return Finding(check, Level.WARNING, what, str(where), do)


def error(check: str, what: Bilingual, where: object, do: Bilingual) -> Finding:
    """The run would fail."""
    return Finding(check, Level.ERROR, what, str(where), do)


def gib(size: float) -> str:
    """Bytes for people."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size:.0f} B"


def some(tokens: Iterable[str], shown: int = 3) -> str:
    """The first few of ``tokens``, in order."""
    ordered = sorted(tokens)
    return ", ".join(ordered[:shown]) + (", …" if len(ordered) > shown else "")
