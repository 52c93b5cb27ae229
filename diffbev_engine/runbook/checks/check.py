"""A success criterion as a check: met, not met, or unknown until the step has run.

Each kind of check is a frozen dataclass.  Its name in a runbook file is the key in
:data:`CHECK_TYPES`, its fields are the keys of the table there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runbook.workspace_paths import WorkspacePaths


@dataclass(frozen=True)
class Seen:
    """What a check showed."""

    passed: bool | None
    """``None``: it cannot be known, as nothing has run yet."""
    detail: Bilingual = EMPTY


@dataclass(frozen=True)
class Outcome:
    """What the commands of a step left behind; all ``None`` before they ran."""

    output: str | None = None
    exit_code: int | None = None


@dataclass(frozen=True)
class CheckResult:
    """One check and what it showed."""

    check: "Check"
    description: Bilingual
    seen: Seen

    @property
    def passed(self) -> bool | None:
        """Whether the check holds; ``None`` if that cannot be known yet."""
        return self.seen.passed


class Check(ABC):
    """One criterion."""

    of_the_run: ClassVar[bool] = False
    """Whether it reads what the commands printed, not files."""

    def describe(self, roots: WorkspacePaths) -> Bilingual:
        """What must hold, in words."""
        return self._describe(roots).map(plain)  # names of a workspace may hold anything

    def look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:
        """Look; changes nothing.  May raise OSError: see :func:`look_at`."""
        return self._look(roots, outcome)

    @abstractmethod
    def _describe(self, roots: WorkspacePaths) -> Bilingual: ...

    @abstractmethod
    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen: ...


CHECK_TYPES: dict[str, type[Check]] = {}
_C = TypeVar("_C", bound=type[Check])


def check_type(name: str) -> Callable[[_C], _C]:
    """Give a kind of check its name in runbook files."""

    def register(kind: _C) -> _C:
        CHECK_TYPES[name] = kind
        return kind

    return register


def type_name(check: Check) -> str:
    """The name of its kind in runbook files."""
    return next(name for name, kind in CHECK_TYPES.items() if kind is type(check))


def look_at(check: Check, roots: WorkspacePaths, outcome: Outcome) -> CheckResult:
    """Run one check; a system error is an answer, not a crash."""
    try:
        seen = check.look(roots, outcome)
    except OSError as error:
        reason = f"{Path(error.filename).name if error.filename else ''} {error.strerror or error}".strip()
        seen = Seen(False, Bilingual(f"无法读取：{reason}", f"cannot be read: {reason}"))
    return CheckResult(check, check.describe(roots), replace(seen, detail=seen.detail.map(plain)))


NOT_YET = Seen(None, Bilingual("尚未运行", "not run yet"))
