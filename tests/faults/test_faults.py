"""One fault of the harness in every test run; all of them: ``python -m tests.faults``."""

import subprocess
import sys

import pytest


@pytest.mark.slow(12)
def test_a_training_killed_while_it_saves_ends_as_if_nothing_had_happened():
    command = [sys.executable, "-m", "tests.faults", "9 while saving", "--quick", "--iterations", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "end bit-equal" in done.stdout
