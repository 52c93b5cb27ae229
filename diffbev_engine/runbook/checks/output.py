"""Checks of what the commands of a step printed and how they ended."""

from dataclasses import dataclass
from typing import ClassVar

from diffbev_engine.core.bilingual import EMPTY, Bilingual, same
from diffbev_engine.core.patterns import TookTooLong, last_match
from diffbev_engine.runbook.checks.check import NOT_YET, Check, Outcome, Seen, check_type
from diffbev_engine.runbook.checks.files import TOO_LONG, find_in, line_at
from diffbev_engine.runbook.workspace_paths import WorkspacePaths


@check_type("exit_code")
@dataclass(frozen=True)
class ExitCodeIs(Check):
    """The commands ended with this exit code."""

    of_the_run: ClassVar[bool] = True
    code: int = 0

    def _describe(self, roots: WorkspacePaths) -> Bilingual:  # noqa: ARG002
        return Bilingual(f"退出码为{self.code}", f"exit code {self.code}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        if outcome.exit_code is None:
            return NOT_YET
        shown = Bilingual(f"退出码 {outcome.exit_code}", f"exit code {outcome.exit_code}")
        return Seen(outcome.exit_code == self.code, shown)


@check_type("output_contains")
@dataclass(frozen=True)
class OutputContains(Check):
    """The output has all the texts, and a match of the pattern."""

    of_the_run: ClassVar[bool] = True
    texts: tuple[str, ...] = ()
    pattern: str = ""
    meaning: Bilingual = EMPTY

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        if self.meaning:
            return self.meaning
        texts = [roots.fill(text) for text in self.texts] or [f"/{self.pattern}/"]
        chinese, english = "、".join(f"“{text}”" for text in texts), ", ".join(f'"{text}"' for text in texts)
        return Bilingual(f"输出包含 {chinese}", f"prints {english}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:
        if outcome.output is None:
            return NOT_YET
        return find_in(outcome.output, [roots.fill(text) for text in self.texts], self.pattern)


@check_type("output_lacks")
@dataclass(frozen=True)
class OutputLacks(Check):
    """The output has none of the texts."""

    of_the_run: ClassVar[bool] = True
    texts: tuple[str, ...]

    def _describe(self, roots: WorkspacePaths) -> Bilingual:
        texts = [roots.fill(text) for text in self.texts]
        chinese, english = "、".join(f"“{text}”" for text in texts), ", ".join(f'"{text}"' for text in texts)
        return Bilingual(f"输出中没有 {chinese}", f"does not print {english}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:
        if outcome.output is None:
            return NOT_YET
        for text in map(roots.fill, self.texts):
            if text in outcome.output:
                return Seen(False, same(line_at(outcome.output, outcome.output.index(text))))
        return Seen(True)


@check_type("output_number")
@dataclass(frozen=True)
class OutputNumber(Check):
    """The first group of the pattern, as printed last, is a number above a bound."""

    of_the_run: ClassVar[bool] = True
    pattern: str
    above: float
    meaning: Bilingual = EMPTY

    def _describe(self, roots: WorkspacePaths) -> Bilingual:  # noqa: ARG002
        name = self.meaning or same(f"/{self.pattern}/")
        return Bilingual(f"{name.zh} > {self.above:g}", f"{name.en} > {self.above:g}")

    def _look(self, roots: WorkspacePaths, outcome: Outcome) -> Seen:  # noqa: ARG002
        if outcome.output is None:
            return NOT_YET
        try:
            found = last_match(self.pattern, outcome.output)
        except TookTooLong:
            return TOO_LONG
        if found is None:
            return Seen(False, Bilingual("没有输出此数", "no such number is printed"))
        printed = (found.groups[0] if found.groups else found.text) or ""
        try:
            value = float(printed)
        except ValueError:
            return Seen(False, same(printed))
        return Seen(value > self.above, same(f"{value:g}"))
