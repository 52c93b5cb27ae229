"""What a runbook is: phases of steps, and known problems. Nothing here runs or reads anything."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.errors import UsageError
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.checks.check import Check


@dataclass(frozen=True)
class Command:
    """One block of shell, as a person would paste it."""

    run: str
    """The words of the runbook, with ``{workspace}`` and ``{nuscenes_root}`` in place of its roots."""
    available: str = ""
    """Shell that succeeds where the command can be used at all; empty: everywhere."""
    setup: str = ""
    """Shell that goes before, which an interactive shell has done already (``conda shell.bash hook``)."""
    label: Bilingual = EMPTY
    """What tells it from the other commands of the same place."""


@dataclass(frozen=True)
class Equivalent:
    """What is in for a step where none of its commands is available."""

    run: str
    """Its output becomes the evidence."""
    reason: Bilingual
    """Why the step is skipped, and what holds instead."""
    demo_only: bool = False
    """Good enough for a demo workspace; anywhere else the step fails, with the same reason."""


@dataclass(frozen=True)
class Step:
    """One step: commands, success criteria, dependencies."""

    id: str
    """As in the runbook: ``2.4``."""
    title: Bilingual
    criterion: Bilingual
    """What must hold, in words, one line each; ``checks`` say the same to the program."""
    commands: tuple[Command, ...]
    checks: tuple[Check, ...]
    text: Bilingual = EMPTY
    """An explanation."""
    choose: Literal["all", "first_available"] = "all"
    """Run all commands in order, or the first that is available here."""
    equivalent: Equivalent | None = None
    probe: str = ""
    """Shell run after the commands, in the same shell, to show what they did to it."""
    carries_over: bool = False
    """Whether later steps run in the shell that this one leaves: an environment, a variable."""
    after: tuple[str, ...] = ()
    """Steps that must have passed before."""
    deferred_until: str = ""
    """A step that makes what this one looks for: until it has run, a failure only defers this one."""
    inputs: tuple[str, ...] = ()
    """Files, directories and globs that the result depends on: when one changes, the result is stale.
    A configuration changes with its settings, its bases included, not with its text."""
    outputs: tuple[str, ...] = ()
    """What the step makes: when it is gone, or made again, results are stale."""
    problems: tuple[str, ...] = ()
    """Known problems that a failure points to when nothing else is found."""
    fix: str = ""
    """Command that fixes what the step reports as missing."""
    run_dir: str = ""
    """The run directory that the step writes."""
    resume: str = ""
    """Shell that continues from the last checkpoint in ``run_dir``, for a step that was interrupted."""
    long: bool = False
    """Whether it takes more than a minute on real data."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Sort key of people: the numbers of the id."""
        return tuple(self.id.split("."))


@dataclass(frozen=True)
class Phase:
    """A part of the runbook."""

    id: str
    title: Bilingual
    steps: tuple[Step, ...]
    source: Path | None = None
    """The file of the workspace that added the phase; ``None`` for the runbook itself."""


@dataclass(frozen=True)
class Problem:
    """A known problem: how it shows, how to locate it, what to do."""

    id: str
    """``1`` to ``6`` as in the runbook; a name for what was learnt since."""
    title: Bilingual
    explanation: Bilingual
    remedies: tuple[Remedy, ...]
    commands: tuple[Command, ...] = ()
    """The locating commands."""
    note: Bilingual = EMPTY
    belongs_to: str = ""
    """The problem of the runbook that this one is a case of."""
    kinds: tuple[str, ...] = ()
    """Kinds of failure of the catalogue (``findings/failures.toml``) that show the problem."""
    logs: tuple[str, ...] = ()
    """Regular expressions of a workspace's own problems; a line of the log that matches one shows it."""
    states: tuple[str, ...] = ()
    """States of ``status.json`` that mean this problem."""
    exit_codes: tuple[int, ...] = ()
    signs: tuple[str, ...] = ()
    """Detectors in files and on the machine, by name: see ``detectors.py``."""
    weight: int = 0
    """The more specific of two that match has the greater weight and comes first."""


@dataclass(frozen=True)
class Runbook:
    """All of it."""

    phases: tuple[Phase, ...]
    read_problems: Callable[[], tuple[Problem, ...]] = field(repr=False, compare=False)
    """Reads the known problems: half of the packaged runbook, which few of its users look at."""

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """The known problems."""
        return self.read_problems()

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in the order of the work."""
        return tuple(self._each_step())

    def _each_step(self) -> Iterator[Step]:
        for phase in self.phases:
            yield from phase.steps

    def phase(self, name: str) -> Phase:
        """The phase called ``name``.

        Raises:
            UsageError: there is none; the message names those there are.
        """
        for phase in self.phases:
            if phase.id == name:
                return phase
        raise UsageError(f"no phase {name!r}; the phases are {', '.join(phase.id for phase in self.phases)}.")

    def step(self, name: str) -> Step:
        """The step called ``name``.

        Raises:
            UsageError: there is none; the message names the nearest.
        """
        for step in self.steps:
            if step.id == name:
                return step
        ids = [step.id for step in self.steps]
        near = difflib.get_close_matches(name, ids, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`diffbev-engine runbook list` names them."
        raise UsageError(f"no step {name!r}; {hint}")

    def phase_of(self, step: Step) -> Phase:
        """The phase that holds ``step``."""
        return next(phase for phase in self.phases if step in phase.steps)

    def problem(self, name: str) -> Problem | None:
        """The problem called ``name``."""
        return next((problem for problem in self.problems if problem.id == name), None)
