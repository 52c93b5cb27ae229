"""What a detector reports: severity, subject, title, evidence, and remedies that can be run."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Literal

from diffbev_engine.core.bilingual import EMPTY, Bilingual, join

Subject = Literal["data", "labels", "machine", "configuration", "failure", "prediction", "memory"]
_SUBJECTS: Mapping[str, Subject] = {
    **dict.fromkeys(("data_root", "pairing", "splits", "depth", "samples", "geometry"), "data"),
    **dict.fromkeys(("labels",), "labels"),
    **dict.fromkeys(("schedule", "weights"), "configuration"),
    **dict.fromkeys(("gpu_memory", "ram"), "memory"),
}
"""Of the checks before a run; the others are about the machine."""


class Severity(str, Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The run can start; check this first."""
    ERROR = "error"
    """The run would fail or has failed, at once or days later."""


class Certainty(IntEnum):
    """How strong the evidence of a finding is."""

    CIRCUMSTANCE = 1
    """True of the machine or the workspace now; it need not be the cause."""
    EXPECTED = 2
    """What such a failure often means; nothing proves it here."""
    SHOWN = 3
    """The log, the exit code or the files of the run show it: a match."""


@dataclass(frozen=True)
class Remedy:
    """One thing to do: a command line, settings for the next start, or plain advice."""

    text: Bilingual
    argv: tuple[str, ...] = ()
    """A command line of this program, without a shell."""
    shell: str = ""
    """What to paste into a shell, where no command line of this program does it."""
    overrides: tuple[str, ...] = ()
    """``key=value`` of the configuration, for ``--set`` at the next start."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables to set before the program starts."""
    changes: Bilingual = EMPTY
    """What it changes or costs."""
    when: tuple[str, ...] = ()
    """Wordings of which the evidence must have one for this to apply; empty: always."""
    id: str = ""
    saving: Bilingual = EMPTY
    """Memory that it saves, in words."""
    saving_mib: float | None = None
    saving_known: Bilingual = EMPTY
    """Where that figure comes from."""
    changes_results: bool = False

    @property
    def command(self) -> str:
        """As a person would type it; empty for settings and plain advice."""
        return shlex.join(self.argv) if self.argv else self.shell

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``argv`` is ``None`` where nothing can be run."""
        return {
            "text": self.text.to_json(),
            "argv": list(self.argv) or None,
            "command": self.command or None,
            "setting": self.overrides[0] if self.overrides else None,
            "overrides": list(self.overrides),
            "environment": dict(self.environment),
            "changes": self.changes.to_json() if self.changes else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Remedy":
        """What ``to_json`` made plain."""
        argv = tuple(data["argv"] or ())
        return cls(
            Bilingual(**data["text"]),
            argv=argv,
            shell="" if argv else data["command"] or "",
            overrides=tuple(data["overrides"]),
            environment=data["environment"],
            changes=Bilingual(**data["changes"]) if data["changes"] else EMPTY,
        )


@dataclass(frozen=True)
class Finding:
    """One fact that was established, good or bad."""

    id: str
    """The name of the check, cause or problem."""
    severity: Severity
    subject: Subject
    title: Bilingual
    evidence: tuple[Bilingual, ...] = ()
    where: str = ""
    """A path, a setting, a device."""
    remedies: tuple[Remedy, ...] = ()
    """The most fitting first."""
    certainty: Certainty = Certainty.SHOWN
    figures: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Numbers behind the evidence, as plain values."""

    @property
    def advice(self) -> Bilingual:
        """The remedies in words."""
        return join(remedy.text for remedy in self.remedies)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``preflight --json`` prints them."""
        return {
            "check": self.id,
            "level": self.severity.value,
            "subject": self.subject,
            "what": self.title.to_json(),
            "where": self.where or None,
            "do": self.advice.to_json() if self.remedies else None,
            "evidence": [text.to_json() for text in self.evidence],
            "remedies": [remedy.to_json() for remedy in self.remedies],
        }


class NotLooked(Exception):
    """A check cannot be made; ``why`` is the reason."""

    def __init__(self, why: Bilingual) -> None:
        super().__init__(why.en)
        self.why = why


def ok(check: str, what: Bilingual, where: object = "") -> Finding:
    """All is well."""
    return Finding(check, Severity.OK, _subject(check), what, where=str(where))


def warning(check: str, what: Bilingual, where: object, do: Bilingual | Remedy) -> Finding:
    """The run can start; this should be checked first."""
    return Finding(check, Severity.WARNING, _subject(check), what, where=str(where), remedies=_remedies(do))


def error(check: str, what: Bilingual, where: object, do: Bilingual | Remedy) -> Finding:
    """The run would fail."""
    return Finding(check, Severity.ERROR, _subject(check), what, where=str(where), remedies=_remedies(do))


def _subject(check: str) -> Subject:
    return _SUBJECTS.get(check, "machine")


def _remedies(do: Bilingual | Remedy) -> tuple[Remedy, ...]:
    """``do`` is a remedy, or plain advice; none where it is empty."""
    if isinstance(do, Remedy):
        return (do,)
    return (Remedy(do),) if do else ()


def some(tokens: Iterable[str], shown: int = 3) -> str:
    """The first few of ``tokens``, in order."""
    ordered = sorted(tokens)
    return ", ".join(ordered[:shown]) + (", …" if len(ordered) > shown else "")
