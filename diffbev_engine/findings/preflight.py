"""Run all checks; a failing check does not stop the others, and none has side effects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.findings import data, gpu, gpu_memory, machine, samples, storage, weights
from diffbev_engine.findings.finding import Finding, NotLooked, Severity, error, warning
from diffbev_engine.findings.plan import Plan

Check = Callable[[Plan], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "work_dir": storage.work_dir,
    "disk": storage.disk,
    "data_root": data.data_root,
    "pairing": data.pairing,
    "splits": data.splits,
    "depth": data.depth,
    "samples": samples.samples,
    "geometry": samples.geometry,
    "labels": samples.labels,
    "schedule": machine.schedule,
    "weights": weights.weights,
    "cuda": gpu.cuda,
    "gpu_memory": gpu_memory.gpu_memory,
    "compiler": machine.compiler,
    "trackers": machine.trackers,
    "open_files": machine.open_files,
    "shared_memory": machine.shared_memory,
    "ram": machine.ram,
    "cores": machine.cores,
}
"""Name of a check, which its findings carry, and its function."""


_ONLY_BEFORE = {
    "work_dir": "the lock decides, when it is taken",
    "samples": "a damaged file is met by the loader, which ends the run with a checkpoint",
    "weights": "they are loaded before anything is changed",
}
"""Checks that a start does not make, and why."""
_LOGGED = ("splits", "ram", "gpu_memory")
"""Checks of which even an error is only logged at a start: the run works, or the figure is a guess."""
PRECONDITIONS = tuple(name for name in CHECKS if name not in (*_ONLY_BEFORE, *_LOGGED))
"""Checks whose errors refuse the start of a training run.

Every check that is added joins them: it must take less than a second, whatever the size of the data.
"""
_SHOWN = 5


@dataclass(frozen=True)
class Preconditions:
    """What the preconditions of a start have found."""

    failed: tuple[Finding, ...] = ()
    """Errors that refuse the start."""
    warnings: tuple[Finding, ...] = ()

    def require(self) -> None:
        """Refuse the start if a precondition is not met.

        Raises:
            DiffBEVError: naming each, and what to do.
        """
        if self.failed:
            lines = [f"  {each.id}: {_line(each)}" for each in self.failed[:_SHOWN]]
            count = len(self.failed)
            raise DiffBEVError(
                f"training is not started: {count} precondition{'s are' if count > 1 else ' is'} not met.\n"
                + "\n".join(lines)
                + "\nNothing was changed. Fix this first, or start with --anyway; `diffbev-engine preflight` "
                "shows all checks."
            )

    def notes(self, *, overruled: bool) -> list[str]:
        """Lines for the log: the warnings, and the errors where they were ``overruled``."""
        failed = [f"{each.id}: {_line(each)} (overruled by --anyway)" for each in self.failed if overruled]
        return failed + [f"{each.id}: {_line(each)}" for each in self.warnings]


def check_preconditions(plan: Plan) -> Preconditions:
    """Run the checks that decide whether a training run may start; nothing is changed.

    Raises:
        UsageError: the configuration names what does not exist, such as a model.
    """
    told: set[str] = set()
    names = (*PRECONDITIONS, *_LOGGED)
    found = [finding for name in names for finding in _guarded(name, CHECKS[name], plan, told, usage=True)]
    failed = [each for each in found if each.severity is Severity.ERROR and each.id not in _LOGGED]
    others = [each for each in found if each.severity is not Severity.OK and each not in failed]
    return Preconditions(tuple(failed), tuple(others))


def _line(finding: Finding) -> str:
    where = f" [{finding.where}]" if finding.where else ""
    advice = finding.advice.en if finding.remedies else ""
    return f"{finding.title.en}{where}" + (f" → {advice}" if advice else "")


def preflight(
    settings: Settings, config: str, work_dir: Path, gpu_ids: Sequence[int] = ()
) -> Iterator[Finding]:
    """Check everything that a run with ``settings`` in ``work_dir`` depends on."""
    plan = Plan(settings, config, work_dir, gpu_ids)
    told: set[str] = set()
    for name, check in CHECKS.items():
        yield from _guarded(name, check, plan, told)


def _guarded(
    name: str, check: Check, plan: Plan, told: set[str], *, usage: bool = False
) -> Iterator[Finding]:
    """The findings of a check, its errors among them; wrong usage is raised if ``usage`` says so."""
    try:
        yield from check(plan)
    except NotLooked as reason:
        yield _not_looked(name, reason.why)
    except (DiffBEVError, OSError) as problem:
        if usage and isinstance(problem, UsageError):
            raise
        words = str(problem)
        if words in told:  # one damaged file, met again
            yield _not_looked(name, Bilingual("原因见上", "for the reason above"))
        else:
            told.add(words)
            yield error(
                name, Bilingual(words, words), "", Bilingual("修复后重试", "fix it, then run preflight again")
            )
    except Exception as defect:  # one look that fails must not hide the others
        words = f"{type(defect).__name__}: {defect}"
        yield warning(
            name,
            Bilingual(f"此项检查本身出错：{words}", f"the check itself failed: {words}"),
            "",
            Bilingual("其他检查不受影响", "other checks are not affected"),
        )


def _not_looked(name: str, why: Bilingual) -> Finding:
    return warning(
        name,
        Bilingual(f"已跳过：{why.zh}", f"skipped: {why.en}"),
        "",
        Bilingual("先解决该问题", "fix that first"),
    )


def summary(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings and their counts as plain values; ``ok`` without any error."""
    found = list(findings)
    counts = {level.value: sum(each.severity is level for each in found) for level in Severity}
    return {"ok": not counts["error"], "counts": counts, "findings": [each.to_json() for each in found]}
