"""The packaged runbook is the user's runbook: word for word, complete, in both languages."""

import re
from pathlib import Path

import pytest

from diffbev_engine.findings.catalogue import kinds
from diffbev_engine.runbook.load import packaged_runbook, validate
from diffbev_engine.runbook.parse import Place
from diffbev_engine.runbook.workspace_paths import PLACEHOLDERS, WorkspacePaths, placeholders_of
from tests.workspace.runbook_text import runbook_text

_ROOTS = WorkspacePaths(Path("/media/ldk950413/data0/DiffBEV"), Path("/media/ldk950413/data0/nuScenes"))
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
RUNBOOK = packaged_runbook()
OF_THE_RUNBOOK = [problem for problem in RUNBOOK.problems if problem.id.isdecimal()]


@pytest.fixture(scope="module")
def spec() -> str:
    return runbook_text()


def _blocks(spec: str) -> list[str]:
    return [block.strip("\n") for block in re.findall(r"```bash\n(.*?)```", spec, re.DOTALL)]


def test_its_references_hold():
    validate(RUNBOOK, Place("the packaged runbook"))


def test_every_command_is_a_block_of_the_runbook(spec):
    blocks = _blocks(spec)
    for step in RUNBOOK.steps:
        for command in step.commands:
            assert _ROOTS.command(command.run) in blocks, step.id
    for problem in OF_THE_RUNBOOK:
        for command in problem.commands:
            assert _ROOTS.command(command.run) in blocks, problem.id


def test_every_block_of_the_runbook_is_a_command(spec):
    commands = [command for step in RUNBOOK.steps for command in step.commands]
    commands += [command for problem in OF_THE_RUNBOOK for command in problem.commands]
    ours = [_ROOTS.command(command.run) for command in commands]
    assert sorted(_blocks(spec)) == sorted(ours)


def test_steps_have_the_numbers_and_titles_of_the_runbook(spec):
    found = re.findall(r"^### Step ([\d.]+): (.+)$", spec, re.MULTILINE)
    assert found == [(step.id, step.title.zh) for step in RUNBOOK.steps if step.id != "final"]


def test_phases_have_the_titles_of_the_runbook(spec):
    found = re.findall(r"^## 阶段(\d)：(.+)$", spec, re.MULTILINE)
    assert found == [(phase.id, phase.title.zh) for phase in RUNBOOK.phases if phase.id != "final"]


def test_criteria_are_those_of_the_runbook(spec):
    plain = spec.replace("\n- ", "\n")
    for step in RUNBOOK.steps:
        for line in _ROOTS.words(step.criterion).zh.splitlines():
            assert line in plain, f"{step.id}: {line}"


def test_problems_have_the_titles_explanations_and_remedies_of_the_runbook(spec):
    found = re.findall(r"^### 问题(\d): (.+)$", spec, re.MULTILINE)
    assert found == [(problem.id, problem.title.zh) for problem in OF_THE_RUNBOOK]
    for problem in OF_THE_RUNBOOK:
        assert problem.explanation.zh in spec
        first = _ROOTS.words(problem.remedies[0].text).zh.split("；")[0]
        assert first in spec, problem.id


def test_every_text_is_there_in_both_languages():
    texts = [phase.title for phase in RUNBOOK.phases]
    for step in RUNBOOK.steps:
        texts += [step.title, step.criterion, *([step.text] if step.text else [])]
        texts += [check.describe(_ROOTS) for check in step.checks]
        texts += [step.equivalent.reason] if step.equivalent else []
    for problem in RUNBOOK.problems:
        texts += [problem.title, problem.explanation, *(remedy.text for remedy in problem.remedies)]
        texts += [command.label for command in problem.commands if command.label]
    for text in texts:
        assert _CHINESE.search(text.zh), text
        assert text.en, text
        assert not _CHINESE.search(text.en.replace("✓ 训练完成！", "")), text


def test_only_known_placeholders_occur():
    for step in RUNBOOK.steps:
        words = [command.run for command in step.commands] + [step.fix, step.criterion.zh, step.criterion.en]
        words += [*step.inputs, *step.outputs]
        for word in words:
            assert placeholders_of(word) <= set(PLACEHOLDERS), step.id
    for problem in RUNBOOK.problems:
        for word in [command.run for command in problem.commands] + [one.command for one in problem.remedies]:
            assert placeholders_of(word) <= set(PLACEHOLDERS), problem.id


def test_every_step_is_proved_by_more_than_its_exit_code():
    for step in RUNBOOK.steps:
        assert len(step.checks) > 1 or step.checks[0].of_the_run, step.id


def test_every_problem_can_be_located_and_mended():
    for problem in RUNBOOK.problems:
        assert problem.commands, problem.id
        assert problem.remedies, problem.id
        assert problem.kinds or problem.signs or problem.states, problem.id
        assert not problem.belongs_to or RUNBOOK.problem(problem.belongs_to), problem.id


def test_roots_with_blanks_are_quoted():
    roots = WorkspacePaths(Path("/my disk/ws"), Path("/data"))
    assert roots.command("cp {workspace}/a {nuscenes_root}/b") == "cp '/my disk/ws'/a /data/b"


def test_the_expressions_are_valid():
    checks = [check for step in RUNBOOK.steps for check in step.checks]
    patterns = [value for check in checks for name, value in vars(check).items() if name == "pattern"]
    assert len(patterns) > 30
    for pattern in filter(None, patterns):
        re.compile(pattern)


def test_problems_refer_to_failures_by_kind_and_repeat_no_wordings():
    assert not [problem.id for problem in RUNBOOK.problems if problem.logs]
    used = [kind for problem in RUNBOOK.problems for kind in problem.kinds]
    assert sorted(used) == sorted(kinds()), "every kind of failure has one problem"
