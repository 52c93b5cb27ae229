"""How long each phase took, and how long what is left will take: only what was measured or is predicted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffbev_engine.core.bilingual import Language
from diffbev_engine.core.format import UNKNOWN, duration
from diffbev_engine.runbook.model import Phase
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import DONE, RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition

_MINUTE_S = 60.0


@dataclass(frozen=True)
class TimeLeft:
    """What is known of the time that steps still take."""

    known_s: float = 0.0
    """Of those with an ETA, a prediction or an earlier record."""
    short: int = 0
    """How many others take less than a minute each, as the runbook says; not in ``known_s``."""
    unknown: bool = False
    """Whether nothing is known of some step that may take long: the time is at least ``known_s``."""

    def __add__(self, other: "TimeLeft") -> "TimeLeft":
        unknown = self.unknown or other.unknown
        return TimeLeft(self.known_s + other.known_s, self.short + other.short, unknown)

    @property
    def most_s(self) -> float | None:
        """An upper bound; ``None`` where nothing is known of some step."""
        return None if self.unknown else self.known_s + _MINUTE_S * self.short

    def words(self, language: Language) -> str:
        """``9 h 12 min``, ``at least 9 h 12 min``, ``< 4 min``; a dash where nothing is known.

        Short steps are left out where others take longer.
        """
        if self.unknown:
            at_least = {"zh": "至少 ", "en": "at least "}[language]
            return at_least + duration(self.known_s, language) if self.known_s >= 1 else UNKNOWN
        if self.short and self.known_s < _MINUTE_S:
            minutes = self.short + (self.known_s > 0)
            return {"zh": f"< {minutes} 分钟", "en": f"< {minutes} min"}[language]
        return duration(self.known_s, language)

    def words_at_most(self, language: Language) -> str:
        """The same with the short steps in it: ``< 9 h 25 min``."""
        if self.most_s is None or not self.short or self.known_s < _MINUTE_S:
            return self.words(language)
        return f"< {duration(self.most_s, language)}"


@dataclass(frozen=True)
class PhaseTime:
    """One phase in time."""

    phase: Phase
    state: StepState
    took_s: float | None
    """Of the steps that are done; ``None`` where one that may take long has no time on record."""
    left: TimeLeft
    share: float | None = None
    """How much of its training in progress is done, 0 to 1."""
    stalled: bool = False
    """Whether its training in progress makes no progress."""

    def to_json(self) -> dict[str, Any]:
        """The numbers; ``left_s`` is without short steps, and at least that where there is no upper bound."""
        return {"took_s": self.took_s, "share": self.share, **_left_json(self.left)}


@dataclass(frozen=True)
class Timeline:
    """All phases in time; steps run one after another, except for those that run already."""

    phases: tuple[PhaseTime, ...]
    left: TimeLeft
    ends: float | None
    """Unix time by which everything is done; ``None`` unless a training makes progress and all is known."""

    @property
    def took_s(self) -> float | None:
        """Of everything that is done; ``None`` where that is not known of some phase."""
        known = [phase.took_s for phase in self.phases if phase.took_s is not None]
        return sum(known) if len(known) == len(self.phases) else None

    def left_words(self, language: Language) -> str:
        """How long all of it still takes; "" where nothing is left or known, or while a training stalls.

        A sum of the rest would then look like an answer.
        """
        if self.left == TimeLeft() or any(phase.stalled for phase in self.phases):
            return ""
        words = self.left.words_at_most(language)
        return "" if words == UNKNOWN else words

    def to_json(self) -> dict[str, Any]:
        """The sums; the phases have their own."""
        return {"took_s": self.took_s, "ends": self.ends, **_left_json(self.left)}


def timeline(
    view: RunbookView,
    roots: WorkspacePaths,
    runs: Sequence[RunReport],
    predicted: Mapping[str, float],
    now: float,
) -> Timeline:
    """The runbook in time.

    Args:
        view: the runbook as it stands.
        roots: the workspace.
        runs: its runs, the newest first.
        predicted: of ``predicted_seconds``.
        now: Unix time of ``runs``.
    """
    training = {one.step.id: _training(one, roots, runs) for one in view.steps}
    left = {one.step.id: _left(one, training[one.step.id], predicted) for one in view.steps}
    phases = tuple(_phase_time(phase, view, training, left) for phase in view.runbook.phases)
    running = [one.step.id for one in view.steps if one.state is StepState.RUNNING or training[one.step.id]]
    longest = max((left[name] for name in running), key=lambda one: one.known_s, default=TimeLeft())
    unknown = any(left[name].unknown for name in running)
    waiting = _sum(left[one.step.id] for one in view.steps if one.step.id not in running)
    every = longest + waiting + TimeLeft(unknown=unknown)
    ages = [run.age_s or 0.0 for run in training.values() if run and run.eta_s is not None]
    ends = now - max(ages) + every.most_s if ages and every.most_s is not None else None
    return Timeline(phases, every, ends)


def _training(one: StepView, roots: WorkspacePaths, runs: Sequence[RunReport]) -> RunReport | None:
    """The run in progress of a step that is not done, also one that was resumed outside the runbook."""
    run = run_of(one.step, roots, runs) if one.state not in DONE else None
    return run if run and run.state is RunCondition.RUNNING else None


def _left(one: StepView, training: RunReport | None, predicted: Mapping[str, float]) -> TimeLeft:
    step, seconds = one.step, None
    if one.state in DONE:
        return TimeLeft()
    if training:
        seconds = training.eta_s  # none while it stalls
    elif one.state is not StepState.RUNNING:
        seconds = predicted.get(step.id)
        if seconds is None and one.state is StepState.STALE:  # it has passed before
            seconds = one.record.seconds
    if seconds is not None:
        return TimeLeft(seconds)
    return TimeLeft(unknown=True) if step.long else TimeLeft(short=1)


def _phase_time(
    phase: Phase,
    view: RunbookView,
    training: Mapping[str, RunReport | None],
    left: Mapping[str, TimeLeft],
) -> PhaseTime:
    steps = view.of_phase(phase)
    done = [one for one in steps if one.state in DONE]
    lost = any(one.step.long and one.state is StepState.PASSED and one.record.seconds is None for one in done)
    run = next((run for one in steps if (run := training[one.step.id])), None)
    return PhaseTime(
        phase,
        StepState.RUNNING if run else view.phase_state(phase),
        None if lost else sum(one.record.seconds or 0.0 for one in done),
        _sum(left[one.step.id] for one in steps),
        run.step / run.max_iters if run and run.step is not None and run.max_iters else None,
        stalled=run is not None and run.stalled,
    )


def _sum(parts: Iterable[TimeLeft]) -> TimeLeft:
    return sum(parts, TimeLeft())


def _left_json(left: TimeLeft) -> dict[str, Any]:
    known = left.known_s or not (left.unknown or left.short)
    return {"left_s": left.known_s if known else None, "left_at_most_s": left.most_s}
