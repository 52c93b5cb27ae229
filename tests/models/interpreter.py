"""Triton's kernels without a GPU."""

import os
import subprocess
import sys

import pytest


def interpreted(script: str) -> str:
    """What ``script`` prints in a process of its own, where kernels are interpreted on the CPU."""
    pytest.importorskip("triton", reason="no Triton on this platform")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "only 0-dimensional arrays can be converted" in done.stderr:
        pytest.skip("the interpreter of this Triton does not work with this NumPy (3.6 with 2.5)")
    assert done.returncode == 0, done.stderr
    return done.stdout
