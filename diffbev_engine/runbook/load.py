"""The runbook of a workspace: the packaged one, and what the workspace adds to it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from diffbev_engine.core.toml import read_toml
from diffbev_engine.runbook.model import Phase, Problem, Runbook, Step
from diffbev_engine.runbook.parse import Place, Table, parse_loose_steps, parse_phases, parse_problems
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

USER_FILE = "runbook.toml"
_DATA = Path(__file__).parent / "data"
_PHASES = "[0-9]*.toml"
_PROBLEMS = "problems*.toml"
_KEYS = ("phase", "step", "problem")

T = TypeVar("T")


def load_runbook(roots: WorkspacePaths | None = None) -> Runbook:
    """The packaged runbook with the phases, steps and problems of the workspace's ``runbook.toml``.

    Raises:
        UsageError: the workspace's file is wrong; the message names file and key.
    """
    runbook = packaged_runbook()
    if roots is None or not (roots.workspace / USER_FILE).exists():
        return runbook
    return _extended(runbook, roots.workspace / USER_FILE)


@cache
def packaged_runbook() -> Runbook:
    """Phases 0 to 6, the final checklist and the known problems.

    That its references hold is a test's business, not that of every start.
    """
    return Runbook(tuple(_each(_PHASES, parse_phases)), _packaged_problems)


@cache
def _packaged_problems() -> tuple[Problem, ...]:
    return tuple(_each(_PROBLEMS, parse_problems))


def _each(pattern: str, parse: Callable[[Table, Place], list[T]]) -> Iterator[T]:
    for file in sorted(_DATA.glob(pattern)):
        content, place = read_toml(file), Place(file.name, packaged=True)
        _refuse_unknown(content, place)
        yield from parse(content, place)


def _extended(runbook: Runbook, file: Path) -> Runbook:
    content, place = read_toml(file), Place(str(file))
    _refuse_unknown(content, place)
    phases = [*runbook.phases]
    known = {phase.id for phase in phases}
    for added in parse_phases(content, place):
        if added.id in known:
            raise place.inside(f"phase {added.id}").error(
                "there is a phase of this id already; to add a step to it, write [[step]] with phase = "
                f'"{added.id}"'
            )
        known.add(added.id)
        phases.append(replace(added, source=file))
    for name, step in parse_loose_steps(content, place):
        phases = _with_step(phases, name, step, place)
    # Last of all stays last: the final checklist of the runbook.
    phases.sort(key=lambda phase: phase.id == "final")
    problems = (*runbook.problems, *parse_problems(content, place))
    result = Runbook(tuple(phases), lambda: problems)
    validate(result, place)
    return result


def _with_step(phases: list[Phase], name: str, step: Step, place: Place) -> list[Phase]:
    if all(phase.id != name for phase in phases):
        raise place.inside(f"step {step.id}").error(
            f"no phase {name!r}; the phases are {', '.join(phase.id for phase in phases)}"
        )
    return [replace(phase, steps=(*phase.steps, step)) if phase.id == name else phase for phase in phases]


def _refuse_unknown(content: Table, place: Place) -> None:
    for key in content:
        if key not in _KEYS:
            raise place.error(f"unknown key {key!r}; a runbook file has [[phase]], [[step]] and [[problem]]")


def validate(runbook: Runbook, place: Place) -> None:
    """Ids are unique, and every step named by another exists and does not wait for itself.

    Raises:
        UsageError: it is not so; the message names file and key.
    """
    from diffbev_engine.findings.catalogue import kinds  # read from its file, which few starts need

    counts = Counter(step.id for step in runbook.steps)
    for name, count in counts.items():
        if count > 1:
            raise place.error(f"{count} steps have the id {name!r}; give each its own")
    problems = {problem.id for problem in runbook.problems}
    if len(problems) < len(runbook.problems):
        raise place.error("two problems have the same id; give each its own")
    for problem in runbook.problems:
        for kind in problem.kinds:
            if kind not in kinds():
                here = place.inside(f"problem {problem.id}").inside("kinds")
                raise here.error(f"names the kind of failure {kind!r}, which does not exist")
    for step in runbook.steps:
        here = place.inside(f"step {step.id}")
        for name in (*step.after, *filter(None, [step.deferred_until])):
            if name not in counts:
                raise here.error(f"names the step {name!r}, which does not exist")
        for name in step.problems:
            if name not in problems:
                raise here.inside("problems").error(f"names the problem {name!r}, which does not exist")
    _refuse_circles(runbook, place)


def _refuse_circles(runbook: Runbook, place: Place) -> None:
    after = {step.id: step.after for step in runbook.steps}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " → ".join((*path[path.index(name) :], name))
            raise place.error(f"steps wait for each other: {circle}; remove one of the `after`")
        if name not in done:
            for other in after[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in after:
        visit(name, ())
