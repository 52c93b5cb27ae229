"""Which known problem it is: the problems of the runbook matched with the facts about a failure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from diffbev_engine.core.bilingual import EMPTY, Bilingual, same
from diffbev_engine.core.errors import UsageError
from diffbev_engine.core.patterns import TookTooLong, lines_with
from diffbev_engine.core.toml import WORKSPACE_FILE
from diffbev_engine.findings.catalogue import LogText, Sign, Strength, kinds, signs_of
from diffbev_engine.findings.failure import POSSIBLE, FailureContext, context_of, context_of_run
from diffbev_engine.findings.finding import Certainty, Finding, Severity
from diffbev_engine.findings.oom_message import OutOfMemory, parse_oom
from diffbev_engine.runbook.checks.check import Outcome
from diffbev_engine.runbook.detectors import DETECTORS, OF_THE_RUN
from diffbev_engine.runbook.judge import recorded_outcome
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.model import Problem, Runbook, Step
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.remedies import names_of, remedies_for
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths, find_roots

_MOST_EVIDENCE = 4
_LONGEST = 300
_RUNS = ("baseline", "diffbev_default")
_RUN_FILES = (".csv", ".pth", ".log")
_MEMORY = ("1", "host-memory")
_BEFORE_S = 5.0
"""A run that began earlier than this before its step belongs to another start."""


@dataclass(frozen=True)
class Consultation:
    """What was diagnosed, and what was found."""

    about: Bilingual
    findings: Sequence[Finding]
    runbook: Runbook
    roots: WorkspacePaths | None


def consult(target: Path | None) -> Consultation:
    """Diagnose a run directory, a log or a workspace; by default the workspace of the current directory.

    Raises:
        UsageError: there is no such file or directory, or no workspace.
    """
    if target is None or _is_workspace(target):
        return _about_workspace(find_roots(target))
    roots = _workspace_around(target)
    runbook = load_runbook(roots)
    return Consultation(
        same(str(target)), diagnose(runbook, _in_workspace(context_of(target), roots)), runbook, roots
    )


def diagnose(runbook: Runbook, context: FailureContext) -> list[Finding]:
    """The problems that match, the most certain and most specific first; changes nothing."""
    looked = [_Examination(problem, context) for problem in runbook.problems]
    matches = [(one, finding) for one in looked if (finding := one.finding(runbook))]
    matches.sort(key=lambda match: (-match[1].certainty, *match[0].rank))
    return [finding for _, finding in matches]


def diagnose_workspace(runbook: Runbook, roots: WorkspacePaths) -> list[Finding]:
    """What is true of a workspace and the machine where nothing has failed."""
    return diagnose(runbook, _in_workspace(FailureContext(), roots))


def named(findings: Sequence[Finding]) -> Finding | None:
    """The problem that a failure is put down to: one that evidence shows."""
    return next((finding for finding in findings if finding.certainty is Certainty.SHOWN), None)


def find_problem(
    runbook: Runbook, step: Step, roots: WorkspacePaths, outcome: Outcome, record: StepRecord | None = None
) -> list[Finding]:
    """The known problems that match the failure of a step."""
    context = FailureContext()
    run_dir = roots.workspace / step.run_dir if step.run_dir else None
    if run_dir and run_dir.is_dir():
        of_run = context_of_run(run_dir)
        begun = record.started if record and record.started else 0.0
        if of_run.run and (of_run.run.started or begun) >= begun - _BEFORE_S:
            context = of_run
    logs = (LogText(outcome.output or ""), *context.logs)
    code = outcome.exit_code if outcome.exit_code is not None else context.exit_code
    context = replace(context, logs=logs, exit_code=code, suspects=step.problems)
    return diagnose(runbook, _in_workspace(context, roots, step))


def _in_workspace(
    context: FailureContext, roots: WorkspacePaths | None, step: Step | None = None
) -> FailureContext:
    """With what the workspace adds: its roots, and the runs that a step reads or writes."""
    if roots is None:
        return context
    patterns = (*step.inputs, *step.outputs) if step else ()
    of_runs = [
        pattern for pattern in patterns if pattern.startswith("runs/") and pattern.endswith(_RUN_FILES)
    ]
    names = dict.fromkeys([pattern.split("/")[1] for pattern in of_runs] or _RUNS)
    return replace(
        context,
        workspace=roots.workspace,
        data_root=roots.data_root,
        nuscenes_root=roots.nuscenes_root,
        run_dirs=tuple(roots.workspace / "runs" / name for name in names),
    )


@dataclass
class _Examination:
    """One problem compared with the facts."""

    problem: Problem
    context: FailureContext
    shown: list[Bilingual] = field(default_factory=list)
    possible: list[Bilingual] = field(default_factory=list)
    circumstances: list[Bilingual] = field(default_factory=list)
    sure: bool = False
    """Whether some evidence can mean nothing else."""
    refuted: bool = False
    """Whether its detectors examined the workspace and saw nothing."""

    def __post_init__(self) -> None:
        if not self.context.is_well:
            self._read_logs()
            self._read_own_patterns()
        self._read_ending()
        self._run_detectors()

    @property
    def suspected(self) -> bool:
        """Whether the failed step usually has this problem."""
        return self.problem.id in self.context.suspects

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Sort key among problems of one certainty."""
        suspects = self.context.suspects
        usual = suspects.index(self.problem.id) if not self.shown and self.suspected else len(suspects)
        return not self.sure, usual, -self.problem.weight

    def _read_logs(self) -> None:
        doubts: list[Bilingual] = []
        for log in self.context.logs:
            for sign in [sign for kind in self.problem.kinds for sign in signs_of(kinds()[kind], log)]:
                text = _where(sign, log)
                if sign.proves:
                    self.shown.append(text)
                    self.sure |= sign.strength is Strength.CERTAIN
                elif not sign.passed or self.context.run or self.context.exit_code:
                    self.possible.append(text)
                if sign.strength is not Strength.CERTAIN and sign.kind.doubt not in doubts:
                    doubts.append(sign.kind.doubt)
        if not self.sure:
            (self.shown or self.possible).extend(doubts)

    def _read_own_patterns(self) -> None:
        patterns = self.problem.logs
        for log in self.context.logs if patterns else ():
            fold = any(pattern.startswith("(?i)") for pattern in patterns)
            try:
                found = lines_with(patterns, log.lines, ignore_case=fold)
            except TookTooLong:
                self.circumstances.append(
                    Bilingual(
                        "未检查：`logs` 中的正则表达式耗时过长，请简化",
                        "not checked: the regular expressions in `logs` take too long. Simplify them",
                    )
                )
                return
            self.sure |= bool(found)
            self.shown += [_line(log, index + 1, log.lines[index].strip()) for index in found[:-4:-1]]

    def _read_ending(self) -> None:
        code, run = self.context.exit_code, self.context.run
        if code is not None and code in self.problem.exit_codes:
            self.shown.append(Bilingual(f"退出码 {code}", f"exit code {code}"))
            self.sure = True
        if run and run.state.value in self.problem.states:
            said = (run.status.message if run.status else run.message)[:_LONGEST]
            said = "" if any(said in text.en for text in self.shown) else said
            self.shown.append(
                Bilingual(f"状态 {run.state.value}：{said}", f"state {run.state.value}: {said}")
            )
            self.sure = True

    def _run_detectors(self) -> None:
        for name in self.problem.signs:
            if self.context.is_well and name not in OF_THE_RUN:
                continue
            seen = DETECTORS[name](self.context)
            if seen is None:
                self.refuted |= name not in OF_THE_RUN
            elif name in POSSIBLE:
                self.possible.append(seen)
            elif name in OF_THE_RUN or self.suspected:
                self.shown.append(seen)
                self.sure = True
            else:
                self.circumstances.append(seen)

    def finding(self, runbook: Runbook) -> Finding | None:
        """What this amounts to; ``None`` if nothing points to the problem."""
        oom = _oom_message(self.context) if "oom" in self.problem.states and self.shown else None
        if self.shown:
            certainty, evidence = Certainty.SHOWN, [*(oom.say() if oom else ()), *self.shown]
        elif self.possible or (self.suspected and not self.refuted):
            certainty, evidence = Certainty.EXPECTED, self.possible + self.circumstances
        elif self.circumstances:
            certainty, evidence = Certainty.CIRCUMSTANCE, self.circumstances
        else:
            return None
        evidence = list(dict.fromkeys(evidence))[:_MOST_EVIDENCE]
        names = names_of(runbook, self.context, evidence)
        return Finding(
            self.problem.id,
            Severity.ERROR if certainty is Certainty.SHOWN else Severity.WARNING,
            "memory" if self.problem.id in _MEMORY else "failure",
            self.problem.title,
            tuple(evidence),
            where=names.get("RUN_DIR", ""),
            remedies=tuple(remedies_for(self.problem, self.context, names, evidence, oom)),
            certainty=certainty,
            figures={"oom": oom.to_json()} if oom else {},
        )


def _where(sign: Sign, log: LogText) -> Bilingual:
    return _line(log, sign.line, sign.text)


def _line(log: LogText, number: int, text: str) -> Bilingual:
    text = text[:_LONGEST]
    if log.name == "status.json":
        return Bilingual(f"status.json：{text}", f"status.json: {text}")
    if log.name:
        return Bilingual(f"{log.name} 第 {number} 行：{text}", f"{log.name} line {number}: {text}")
    return Bilingual(f"日志第 {number} 行：{text}", f"log line {number}: {text}")


def _oom_message(context: FailureContext) -> OutOfMemory | None:
    """The figures of the out-of-memory message, from the report of the run or its logs."""
    sources = (str(context.oom_report.get("message", "")), *("\n".join(log.lines) for log in context.logs))
    return next((found for source in sources if (found := parse_oom(source))), None)


def _about_workspace(roots: WorkspacePaths) -> Consultation:
    """The last failed step; without one, the workspace and the machine as they are."""
    runbook, records = load_runbook(roots), StateStore(roots).read()
    view = view_runbook(runbook, records, roots)
    failed = [one for one in view.steps if one.state is StepState.FAILED]
    if not failed:
        findings = diagnose_workspace(runbook, roots)
        return Consultation(same(str(roots.workspace)), findings, runbook, roots)
    last = max(failed, key=lambda one: one.record.finished or 0)
    findings = find_problem(runbook, last.step, roots, recorded_outcome(last.record, roots), last.record)
    reason, title = last.record.reason or EMPTY, last.step.title
    step = f"{roots.workspace}: {last.step.id}"
    about = Bilingual(
        f"{step} {title.zh}" + (f"：{reason.zh}" if reason else ""),
        f"{step} {title.en}" + (f": {reason.en}" if reason else ""),
    )
    return Consultation(about, findings, runbook, roots)


def _is_workspace(folder: Path) -> bool:
    return any((folder / name).exists() for name in (WORKSPACE_FILE, ".diffbev", "runbook.toml"))


def _workspace_around(target: Path) -> WorkspacePaths | None:
    absolute = target.absolute()
    for folder in absolute.parents:
        if _is_workspace(folder):
            try:
                return find_roots(folder)
            except UsageError:  # a damaged workspace.toml must not keep a log from being read
                return None
    return None
