"""What can be done from here about a problem: run a command, resume a run, or copy text. No Textual."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from diffbev_engine.core.bilingual import same
from diffbev_engine.core.plain_text import plain
from diffbev_engine.findings.command import PROGRAM, changes_of
from diffbev_engine.findings.finding import Certainty, Remedy
from diffbev_engine.runbook.present import filled
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say

_RESUME = (PROGRAM, "runs", "resume")
_RUN_STEP = (PROGRAM, "runbook", "run")
_GROUPS = ("runs", "runbook")
"""Commands with subcommands."""


class FixKind(Enum):
    """What choosing it does."""

    RUN = "run"
    """Runs a command of the engine."""
    RESUME = "resume"
    """Starts a training again, with other settings."""
    STEP = "step"
    """Runs a step of the runbook."""
    COPY = "copy"
    """Nothing that this program could do: the text is copied."""


@dataclass(frozen=True)
class Fix:
    """One thing to do, in the language of the screen."""

    kind: FixKind
    text: str
    command: str = ""
    """As a person would type it; empty for plain advice."""
    changes: str = ""
    """What it changes or costs."""
    argv: tuple[str, ...] = ()
    """The words after the name of the program."""
    run: Path | None = None
    overrides: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    step: str = ""

    @property
    def copied(self) -> str:
        """What goes to the clipboard."""
        return self.command or self.text

    @property
    def preview(self) -> str:
        """Advice, command and consequence, a line each."""
        command = f"$ {self.command}" if self.command else ""
        return "\n".join(line for line in (self.text, command, self.changes) if line)

    @property
    def label(self) -> str:
        """What choosing it does, then the preview."""
        first, *rest = self.preview.split("\n")
        return "\n".join([f"{tr(f'app.fix_{self.kind.value}')}: {first}", *(f"    {line}" for line in rest)])


def fix_of(remedy: Remedy, roots: WorkspacePaths | None, run: str = "") -> Fix:
    """The remedy of a finding.

    Args:
        remedy: as the engine reports it.
        roots: of the workspace, to be filled in.
        run: the run directory that the finding is about, if any.
    """
    one = filled(remedy, roots) if roots else remedy
    text, changes = plain(say(one.text, roots)), say(one.changes, roots)
    if one.argv[:3] == _RESUME and len(one.argv) > len(_RESUME):
        overrides = tuple(word for word in one.argv[4:] if word != "--set")
        return Fix(FixKind.RESUME, text, one.command, changes, run=Path(one.argv[3]), overrides=overrides)
    if one.argv[:3] == _RUN_STEP and "--step" in one.argv:
        step = one.argv[one.argv.index("--step") + 1]
        return Fix(FixKind.STEP, text, one.command, changes, step=step)
    if one.argv:
        return Fix(FixKind.RUN, text, one.command, changes, one.argv[1:])
    if run and (one.overrides or one.environment):
        consequence = "\n".join(filter(None, (changes, tr("app.fix_resumes"))))
        command = resume_command(run, one.overrides, one.environment)
        settings = {"overrides": one.overrides, "environment": one.environment}
        return Fix(FixKind.RESUME, text, command, consequence, run=Path(run), **settings)  # type: ignore[arg-type]
    settings_only = " ".join(
        [*(f"{name}={value}" for name, value in one.environment.items())]
        + [f"--set {override}" for override in one.overrides]
    )
    return Fix(FixKind.COPY, text, one.command or settings_only, changes)


def command_fix(text: str, argv: tuple[str, ...]) -> Fix:
    """A command line of this program, with what it changes."""
    return fix_of(Remedy(same(text), argv=argv, changes=changes_of(argv)), None)


def fixes_of(remedies: Iterable[Remedy], roots: WorkspacePaths | None, run: str = "") -> tuple[Fix, ...]:
    """The remedies of a finding, each command once."""
    found = {fix.copied: fix for remedy in remedies if (fix := fix_of(remedy, roots, run)).text}
    return tuple(found.values())


def fixes_of_run(run: RunReport, roots: WorkspacePaths) -> tuple[Fix, ...]:
    """What the doctor knows to do about a run, then what its state allows; for threads."""
    from diffbev_engine.runbook.doctor import consult  # comes when it is needed, after the first screen

    sure = [one for one in consult(Path(run.path)).findings if one.certainty is Certainty.SHOWN]
    found = [fix for one in sure for fix in fixes_of(one.remedies, roots, one.where or run.path)]
    name = plain(Path(run.path).name)
    if run.state is RunCondition.RUNNING:
        found.append(command_fix(tr("app.fix_stop_run", run=name), (PROGRAM, "runs", "stop", run.path)))
    elif run.resumable:
        found.append(command_fix(tr("app.fix_resume_run", run=name), (*_RESUME, run.path)))
    return tuple({fix.copied: fix for fix in reversed(found)}.values())[::-1]


def resume_command(run: str | Path, overrides: Iterable[str], environment: Mapping[str, str]) -> str:
    """``NAME=value diffbev-engine runs resume RUN --set …``."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    settings = [word for override in overrides for word in ("--set", override)]
    return shlex.join([*variables, *_RESUME, str(run), *settings])


def command_name(argv: tuple[str, ...]) -> str:
    """``memory lss_swin_demo``: the subcommand and the one thing that it is about; also names its log."""
    count = 2 if argv[0] in _GROUPS else 1
    options = (at for at, word in enumerate(argv) if word.startswith("-"))
    about = argv[count : next(options, len(argv))]
    return " ".join([*argv[:count], *(Path(word).stem for word in about if len(about) == 1)])
