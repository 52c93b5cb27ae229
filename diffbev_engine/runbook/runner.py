"""Runs steps: one after the other, each with its evidence, up to the first failure."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError, ExitCode, UsageError
from diffbev_engine.findings.finding import Finding
from diffbev_engine.runbook.checks.check import Outcome
from diffbev_engine.runbook.doctor import find_problem, named
from diffbev_engine.runbook.files import fingerprints
from diffbev_engine.runbook.judge import adopt, judge, read_output
from diffbev_engine.runbook.model import Command, Runbook, Step
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.shell import Shell, compose, is_available, read_exit_code, stop_requests
from diffbev_engine.runbook.state import StateStore, is_alive, log_path, refuse_if_running
from diffbev_engine.runbook.view import DONE, RunbookView, view_runbook, watched
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import ProcessIdentity, identify


@dataclass(frozen=True)
class Selection:
    """Which steps to run.

    A step named by ``steps`` or ``start`` runs in any case, the others only if they have not
    passed, or are stale.
    """

    phase: str | None = None
    steps: tuple[str, ...] = ()
    start: str | None = None
    """Run from this step on."""
    again: bool = False
    """Also run steps that have passed, and begin a run that was interrupted from its start."""
    anyway: bool = False
    """Do not insist on the steps that come before."""
    adopt: bool = False
    """Take over results that are there already, without running anything for them."""


@dataclass(frozen=True)
class Ran:
    """One step that was run."""

    step: Step
    record: StepRecord
    findings: tuple[Finding, ...] = ()
    """Known problems that match its failure."""


class Reporter:
    """Is told what happens; the methods do nothing, for subclasses to show it."""

    def starts(self, step: Step, number: int, total: int, command: str) -> None:
        """A step begins."""

    def says(self, text: str) -> None:
        """The step printed ``text``, in pieces as they come."""

    def ended(self, ran: Ran) -> None:
        """The step has been judged."""


def run_steps(runbook: Runbook, roots: WorkspacePaths, selection: Selection, reporter: Reporter) -> list[Ran]:
    """Run the selected steps in order, up to the first that fails.

    Raises:
        UsageError: the selection names a step or phase that does not exist.
        DiffBEVError: a step waits for others that have not passed, or runs already.
    """
    store = StateStore(roots)
    settle(runbook, roots, store)
    queue = select(view_runbook(runbook, store.read(), roots), selection)
    ran: list[Ran] = []
    total = len(queue)
    with stop_requests() as stop:
        while queue and not stop():
            step = queue.pop(0)
            if not selection.anyway:
                _refuse_early(view_runbook(runbook, store.read(), roots), step)
            named = step.id in (*selection.steps, selection.start)
            one = _OneStep(runbook, step, roots, store, anew=selection.again)
            record = adopt(step, roots, runbook) if selection.adopt else None
            if record:
                store.change(step.id, lambda _, record=record: record)  # type: ignore[misc]
                done = Ran(step, record)
            else:
                reporter.starts(step, len(ran) + 1, total, one.shown_command)
                done = one.run(reporter.says, stop, may_defer=not named)
            ran.append(done)
            reporter.ended(done)
            if done.record.state is StepState.FAILED:
                break
            deferred = [other for other in _deferred_until(runbook, store, step) if other not in queue]
            queue, total = deferred + queue, total + len(deferred)
    return ran


def select(view: RunbookView, selection: Selection) -> list[Step]:
    """The steps to run, in the order of the runbook."""
    runbook = view.runbook
    named = {runbook.step(name).id for name in (*selection.steps, *filter(None, [selection.start]))}
    steps: Sequence[Step] = runbook.steps
    if selection.start:
        steps = steps[steps.index(runbook.step(selection.start)) :]
    if selection.phase is not None:
        steps = [step for step in steps if step in runbook.phase(selection.phase).steps]
    if selection.steps:
        steps = [step for step in steps if step.id in selection.steps]
        if len(steps) < len(set(selection.steps)):
            raise UsageError("no step is selected: --step, --from and --phase exclude each other here.")
    return [step for step in steps if selection.again or step.id in named or view[step.id].state not in DONE]


def exit_code_of(ran: Sequence[Ran]) -> int:
    """How ``runbook run`` ends: 0, or what the failed step says about itself."""
    failed = [one.record for one in ran if one.record.state is StepState.FAILED]
    if not failed:
        return ExitCode.DONE
    if failed[-1].interrupted:
        return ExitCode.INTERRUPTED
    own = (ExitCode.OUT_OF_GPU_MEMORY, ExitCode.DIVERGED, ExitCode.INTERRUPTED)
    return next((code for code in own if code == failed[-1].exit_code), ExitCode.FAILED)


def skip_step(runbook: Runbook, roots: WorkspacePaths, name: str, reason: str) -> StepRecord:
    """Record that a step is not needed here, and why."""
    step = runbook.step(name)

    def skip(old: StepRecord) -> StepRecord:
        refuse_if_running(step.id, old)
        now = time.time()
        return StepRecord(StepState.SKIPPED, Bilingual(reason, reason), started=now, finished=now)

    return StateStore(roots).change(step.id, skip)


def settle(runbook: Runbook, roots: WorkspacePaths, store: StateStore) -> None:
    """Judge steps that ended while nobody waited for them, by the log and exit code that they left."""
    for step in runbook.steps:
        record = store.read().get(step.id)
        if record is None or record.state is not StepState.RUNNING or is_alive(record):
            continue
        code = read_exit_code(roots.workspace / record.log) if record.log else None
        if code is None:
            continue
        outcome = Outcome(read_output(roots.workspace / record.log), code)
        judged = judge(step, roots, outcome, replace(record, process=None, runner=None))
        finished = (roots.workspace / (record.log + ".exit")).stat().st_mtime
        seconds = finished - (record.started or finished) + (record.seconds or 0.0)
        judged = replace(judged, finished=finished, seconds=seconds)
        store.change(step.id, lambda old, judged=judged: old if is_alive(old) else judged)  # type: ignore[misc]


def _refuse_early(view: RunbookView, step: Step) -> None:
    waits = view[step.id].waits_for
    if waits:
        shown = ", ".join(f"{name} ({view[name].state.value})" for name in waits)
        raise DiffBEVError(
            f"step {step.id} depends on {shown}. Run these first, e.g. `runbook run --from "
            f"{waits[0]}`. Use --adopt to accept existing results, or --anyway to run the step "
            f"regardless."
        )


def _deferred_until(runbook: Runbook, store: StateStore, done: Step) -> list[Step]:
    records = store.read()
    return [
        step
        for step in runbook.steps
        if step.deferred_until == done.id and step.id in records and records[step.id].deferred
    ]


def _was_cut_short(step: Step, store: StateStore, roots: WorkspacePaths) -> bool:
    """Whether the last start failed or vanished, and left a checkpoint to continue from."""
    record = store.read().get(step.id)
    if not step.resume or record is None or not RunFolder(roots.workspace / step.run_dir).has_checkpoint():
        return False
    return record.state in (StepState.FAILED, StepState.RUNNING)


def _identity(pid: int) -> ProcessIdentity | None:
    with suppress(ProcessLookupError):  # it has ended already
        return identify(pid)
    return None


class _OneStep:
    """One step on its way."""

    def __init__(
        self, runbook: Runbook, step: Step, roots: WorkspacePaths, store: StateStore, *, anew: bool
    ) -> None:
        self._runbook, self._step, self._roots, self._store = runbook, step, roots, store
        usable = [number for number, command in enumerate(step.commands) if is_available(command, roots)]
        if step.choose == "first_available":
            usable = usable[:1]
        self._chosen = usable[0] if usable and step.choose == "first_available" else None
        self._commands = [step.commands[number] for number in usable]
        self._stands_in = not usable
        if self._stands_in and step.equivalent:
            self._commands = [Command(step.equivalent.run)]
        self._seconds_before: float | None = None
        if not anew and _was_cut_short(step, store, roots):
            self._commands = [Command(step.resume)]
            self._seconds_before = store.read()[step.id].seconds
        self.shown_command = "\n".join(roots.shown_command(command.run) for command in self._commands)

    def run(self, say: Callable[[str], None], stop: Callable[[], int], *, may_defer: bool) -> Ran:
        step, roots = self._step, self._roots
        started = time.time()
        log = log_path(self._store.logs, step.id, started)
        begun = StepRecord(
            StepState.RUNNING,
            started=started,
            seconds=self._seconds_before,
            command=self.shown_command,
            chosen=self._chosen,
            log=roots.short(log),
            inputs=fingerprints(roots, watched(self._runbook, step)),
            runner=identify(),
        )

        def begin(old: StepRecord) -> StepRecord:
            refuse_if_running(step.id, old)
            return begun

        self._store.change(step.id, begin)
        record = replace(begun, runner=None)
        findings: list[Finding] = []
        try:
            outcome = self._shell(log, say, stop, begun)
            now = time.time()
            ended = {"finished": now, "seconds": now - started + (self._seconds_before or 0.0)}
            record = judge(step, roots, outcome, replace(record, **ended), stopped=bool(stop()))  # type: ignore[arg-type]
            if self._stands_in and not stop():
                record = self._stood_in(record, outcome)
            if record.state is StepState.FAILED and not record.interrupted:
                findings = find_problem(self._runbook, step, roots, outcome, record)
                cause = named(findings)
                record = replace(record, problem=cause.id if cause else None)
                if may_defer and self._may_wait():
                    record = self._defer(record)
        except BaseException:
            reason = Bilingual("运行器出错", "the runner itself failed")
            record = replace(record, state=StepState.FAILED, reason=reason, finished=time.time())
            raise
        finally:
            self._store.change(step.id, lambda _: record)
        return Ran(step, record, tuple(findings))

    def _shell(
        self, log: Path, say: Callable[[str], None], stop: Callable[[], int], begun: StepRecord
    ) -> Outcome:
        probe = "" if self._stands_in else self._step.probe
        script = compose(self._commands, self._roots, carried=self._carried(), probe=probe)
        shell = Shell(script, self._roots, log)
        process = _identity(shell.pid)
        self._store.change(self._step.id, lambda _: replace(begun, process=process))
        code = shell.follow(say, stop)
        return Outcome(read_output(log), code)

    def _carried(self) -> list[Command]:
        """What earlier steps left in the shell: an environment, a variable."""
        records = self._store.read()
        carried: list[Command] = []
        for step in self._runbook.steps:
            if step.id == self._step.id:
                break
            record = records.get(step.id)
            if step.carries_over and record and record.state is StepState.PASSED:
                carried += [step.commands[record.chosen]] if record.chosen is not None else step.commands
        return carried

    def _stood_in(self, record: StepRecord, outcome: Outcome) -> StepRecord:
        """A step without a command that can be used here: skipped, with what holds instead."""
        equivalent = self._step.equivalent
        if equivalent and (outcome.exit_code or (equivalent.demo_only and not self._roots.demo)):
            return replace(record, state=StepState.FAILED, reason=equivalent.reason)
        reason = (
            equivalent.reason
            if equivalent
            else Bilingual("此机器上没有可用的命令", "none of its commands is available on this machine")
        )
        lines = tuple((outcome.output or "").strip().splitlines()[-3:])
        cause = named(find_problem(self._runbook, self._step, self._roots, outcome))
        problem = cause.id if cause and cause.id in self._step.problems else None
        return replace(
            record, state=StepState.SKIPPED, reason=reason, lines=lines, checks=(), problem=problem
        )

    def _may_wait(self) -> bool:
        later = self._store.read().get(self._step.deferred_until)
        return bool(self._step.deferred_until) and (later is None or later.state is not StepState.PASSED)

    def _defer(self, record: StepRecord) -> StepRecord:
        later = self._step.deferred_until
        reason = Bilingual(
            f"暂缓至 {later} 之后：{later} 会生成缺失的文件",
            f"deferred until {later}, which creates the missing files",
        )
        return replace(record, state=StepState.SKIPPED, deferred=True, reason=reason)
