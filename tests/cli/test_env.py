"""A bug report says what matters, not who wrote it; the shell completes what the program knows."""

import getpass
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_environment_is_described_without_names_and_paths(program, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/home/somebody/venv")
    code, said = program("env", "--json")
    assert code == 0, said
    facts = json.loads(said)
    assert facts["versions"]["torch"]
    assert facts["cores"] >= 1
    assert "VIRTUAL_ENV" in facts["set"]
    for private in ("somebody", str(Path.home()), str(Path.cwd()), platform.node(), "/home/"):
        assert private not in said
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in said
    code, said = program("env")
    assert code == 0
    assert "diffbev 0." in said


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_ask_this_program(program, shell):
    code, said = program("completion", shell)
    assert code == 0
    assert "_DIFFBEV_ENGINE_COMPLETE" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("diffbev-engine ev", "evaluate"),
        ("diffbev-engine train base", "baseline/lss_swin_demo"),
        ("diffbev-engine train x --set model.diffusion.st", "model.diffusion.steps="),
    ],
)
def test_commands_and_presets_are_completed(words, expected):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "diffbev_engine"],
        env={**os.environ, **asked, "_DIFFBEV_ENGINE_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"plain,{expected}" in done.stdout.splitlines(), done
