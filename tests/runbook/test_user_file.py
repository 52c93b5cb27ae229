"""A workspace adds its own phases and steps; a mistake in its file is named with file and key."""

import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.workspace_paths import find_roots

STEP = '[[phase.step]]\nid = "9.1"\ntitle = "t"\nrun = "true"\n'


def test_a_phase_of_ones_own_comes_before_the_final_checklist(with_steps):
    runbook = load_runbook(with_steps(STEP))
    assert [phase.id for phase in runbook.phases][-2:] == ["9", "final"]
    assert runbook.step("9.1").title.zh == "t"
    assert runbook.phase("9").source.name == "runbook.toml"


def test_a_step_added_to_a_phase(with_steps):
    runbook = load_runbook(
        with_steps('[[step]]\nphase = "1"\nid = "1.7"\ntitle = "t"\nrun = "true"\nafter = ["1.1"]\n')
    )
    assert [step.id for step in runbook.phase("1").steps][-1] == "1.7"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (STEP + 'afer = ["1.1"]\n', ["step 9.1", "'afer'", "did you mean 'after'"]),
        (STEP + 'after = ["8.8"]\n', ["step 9.1", "'8.8'"]),
        (STEP + 'after = "1.1"\n', ["after", "list"]),
        (
            STEP + 'checks = [{ type = "path_exist", path = "x" }]\n',
            ["checks[0]", "did you mean 'path_exists'"],
        ),
        (STEP + 'checks = [{ type = "path_exists" }]\n', ["checks[0]", "path is missing"]),
        (
            STEP + 'checks = [{ type = "files_at_least", pattern = "x", count = "two" }]\n',
            ["count", "whole number"],
        ),
        (
            STEP + 'checks = [{ type = "output_contains", pattern = "(" }]\n',
            ["pattern", "regular expression"],
        ),
        (STEP + 'choose = "some"\n', ["choose", "'first_available'"]),
        (STEP + "long = 1\n", ["long", "true or false"]),
        (STEP + STEP, ["2 steps", "'9.1'"]),
        ('[[phase.step]]\nid = "9.1"\ntitle = "t"\n', ["step 9.1", "no command"]),
        ('[[phase.step]]\nid = "9.1"\nrun = "x"\n', ["title is missing"]),
        (STEP.replace('title = "t"', 'title = { zh = "t" }'), ["title", "both languages"]),
        (STEP + 'after = ["9.2"]\n' + STEP.replace("9.1", "9.2") + 'after = ["9.1"]\n', ["9.1 → 9.2 → 9.1"]),
        ('[[phase]]\nid = "2"\ntitle = "t"\n', ["phase 2", "already"]),
        ("[[fase]]\n", ["'fase'"]),
        ("this is no toml", ["not valid TOML", "line 4"]),
    ],
)
def test_mistakes_are_named(steps, words, with_steps):
    with pytest.raises(UsageError) as error:
        load_runbook(with_steps(steps))
    for word in ["runbook.toml", *words]:
        assert word in str(error.value)


def test_unknown_names_are_answered_with_the_nearest(with_steps):
    runbook = load_runbook(with_steps(STEP))
    with pytest.raises(UsageError, match=r"4\.1\.1"):
        runbook.step("4.1.2")
    with pytest.raises(UsageError, match="the phases are 0, 1"):
        runbook.phase("12")


def test_roots_come_from_the_workspace_file(roots, monkeypatch):
    (roots.workspace / "deep").mkdir()
    monkeypatch.chdir(roots.workspace / "deep")
    assert find_roots(None) == roots


def test_without_a_workspace_file_the_data_lies_beside(tmp_path):
    (tmp_path / "ws").mkdir()
    assert find_roots(tmp_path / "ws").nuscenes_root == tmp_path / "nuScenes"


def test_damaged_workspace_file_is_named(roots):
    (roots.workspace / "workspace.toml").write_text("nuscenes_root = 5\n")
    with pytest.raises(UsageError, match="nuscenes_root must be a path"):
        find_roots(roots.workspace)


def test_no_workspace_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="diffbev-engine init"):
        find_roots(None)
