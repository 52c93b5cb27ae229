"""What came of a start, in words, from the records of its steps. No Textual."""

from typing import TYPE_CHECKING

from diffbev_engine.runbook.present import STATE_WORDS
from diffbev_engine.runbook.record import GLYPHS, StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import say
from diffbev_tui.messages import Severity

if TYPE_CHECKING:
    from diffbev_tui.runbook.process import Started

_CLOCK_SLACK_S = 1.0


def has_begun(started: "Started", view: RunbookView | None) -> bool:
    """Whether the state of the runbook shows it already."""
    if view is None:
        return False
    names = set(started.steps)
    return any(
        (one.record.started or 0) >= started.since - _CLOCK_SLACK_S
        for one in view.steps
        if one.step.id in names
    )


def outcome(roots: WorkspacePaths, started: "Started") -> tuple[str, Severity]:
    """What came of a start, from the records; a start that left none was refused, and says why."""
    records = StateStore(roots).read()
    mine = [(name, records[name]) for name in started.steps if name in records]
    fresh = [
        (name, record) for name, record in mine if (record.started or 0) >= started.since - _CLOCK_SLACK_S
    ]
    if not fresh:
        severity: Severity = "error" if started.exit_code else "information"
        return started.last_words() or tr("runbook.ended_silently", code=started.exit_code), severity
    failed = [one for one in fresh if one[1].state is StepState.FAILED]
    if failed:
        return ending(*failed[-1])
    if len(fresh) == 1:
        return ending(*fresh[0])
    return tr(
        "runbook.all_passed", count=len(fresh), steps=", ".join(name for name, _ in fresh)
    ), "information"


def ending(name: str, record: StepRecord) -> tuple[str, Severity]:
    """How a step ended."""
    words = f"{GLYPHS[record.state]} {name} {STATE_WORDS[record.state][language()]}"
    colon = "：" if language() == "zh" else ": "
    reason = colon + say(record.reason, None) if record.reason else ""
    bad = record.state is StepState.FAILED
    severity: Severity = "error" if bad and not record.interrupted else "warning" if bad else "information"
    return words + reason, severity
