"""What the screen offers to do about a step or a known problem. No Textual."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from diffbev_engine.findings.finding import Finding
from diffbev_engine.runbook.model import Problem
from diffbev_engine.runbook.present import fix_of as fix_of_step
from diffbev_engine.runbook.present import names_of_step, with_names
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import StepView
from diffbev_tui.fixes import Fix, fix_of, fixes_of
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say
from diffbev_tui.runbook.rows import PROBLEM
from diffbev_tui.runbook.selection import Facts
from diffbev_tui.tools import diagnosed_with, tools_named, tools_of


@dataclass(frozen=True)
class Offer:
    """Fixes and commands, best first."""

    title: str
    fixes: tuple[Fix, ...]
    problem: Problem | None = None
    """The known problem behind the failure."""
    diagnosed: str = ""
    """A run that can be diagnosed; its directory."""


def offer_for(key: str, facts: Facts) -> Offer:
    """Of the chosen row: a step, or a problem with its mark before."""
    if not key.startswith(PROBLEM):
        return _of_step(facts.view[key], facts)
    problem = facts.view.runbook.problem(key.removeprefix(PROBLEM))
    if problem is None:
        return Offer("", ())
    return Offer(say(problem.title, facts.roots), _of_problem(problem, facts.finding(problem), facts))


def _of_step(one: StepView, facts: Facts) -> Offer:
    failed, roots = one.state is StepState.FAILED, facts.roots
    own = fix_of_step(one.step, roots) if failed else None
    name = facts.looks.problem_of(one) if failed else ""
    problem = facts.view.runbook.problem(name) if name else None
    fixes: tuple[Fix, ...] = (fix_of(own, roots),) if own else ()
    if problem is not None:
        mine = next((each for each in facts.looks.of(one).findings if each.id == name), None)
        names = names_of_step(facts.view.runbook, one.step, roots)
        fixes += _of_problem(problem, mine or facts.finding(problem), facts, names)
    each_once: dict[str, Fix] = {}
    reason = one.record.reason.en if failed and one.record.reason else ""
    for fix in (*fixes, *tools_named(reason, facts.snapshot), *tools_of(one.step, facts.snapshot)):
        each_once.setdefault(fix.copied, fix)
    run = diagnosed_with(one.step, facts.snapshot)
    title = tr("runbook.offer_step", step=one.step.id, title=say(one.step.title, roots))
    return Offer(title, tuple(each_once.values()), problem, run.path if run else "")


def _of_problem(
    problem: Problem, finding: Finding | None, facts: Facts, names: Mapping[str, str] = MappingProxyType({})
) -> tuple[Fix, ...]:
    remedies = [with_names(one, names) for one in (finding.remedies if finding else problem.remedies)]
    return fixes_of(remedies, facts.roots, finding.where if finding else "")
