"""Threads that wait busily take the cores from everybody else, unless the user wants them to."""

import os
import subprocess
import sys

import pytest

ASK = (
    "import os; from diffbev_engine.cli.main import share_the_cpu; share_the_cpu(); "
    "print(os.environ.get('GOMP_SPINCOUNT'))"
)


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(set_by_user, expected):
    clean = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env={**clean, **set_by_user}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
