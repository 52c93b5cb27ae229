import json
import time
from dataclasses import replace

import pytest

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.finding import Remedy, error, ok, warning
from diffbev_engine.findings.preflight import summary
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.workspace_paths import find_roots
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.status import RunState
from diffbev_tui.engine import Answer
from diffbev_tui.i18n import set_language
from diffbev_tui.runbook import outlook as module
from diffbev_tui.runbook.outlook import outlook
from tests.tui.monitor.run_files import write_run

FOUND = [
    ok("disk", Bilingual("好", "fine")),
    warning("weights", Bilingual("警", "weights come from the network\x1b[2J"), "", Bilingual("", "")),
    error(
        "depth", Bilingual("错", "no depth for 3 images"), "", Remedy(Bilingual("做", "do"), argv=("a", "b"))
    ),
]


@pytest.fixture
def roots(workspace):
    set_language("en")
    return find_roots(workspace)


def _step(roots):
    return load_runbook(roots).step("3.2")


def _answers(monkeypatch, text):
    monkeypatch.setattr(module, "ask_engine", lambda *_, **__: Answer(1, text))


def test_a_launch_shows_time_disk_memory_and_what_preflight_finds(roots, monkeypatch):
    _answers(monkeypatch, "note\n" + json.dumps(summary(FOUND)))
    run = write_run(roots.workspace / "runs" / "baseline_smoke", step=300, max_iters=300)
    run.latest.write_bytes(bytes(10 * 2**20))
    report = inspect_run(run.path)
    report = replace(report, status=replace(report.status, gpu_mem_mb=7000.0))
    ahead = outlook(_step(roots), roots, [report])
    lines = list(ahead.lines)
    assert lines[0] == "60 iterations: about 8 s at the 7.6 it/s of baseline_smoke"
    assert lines[1].startswith("disk: about 70 MiB of ")
    assert lines[2] == "GPU memory: baseline_smoke peaked at 6.8 GiB"
    assert lines[3] == "preflight: 1 ok, 1 warnings, 1 errors"
    assert lines[4:] == ["  ✗ no depth for 3 images", "  ! weights come from the network"]
    assert ahead.remedies == FOUND[2].remedies


def test_what_is_not_known_is_left_out(roots, monkeypatch):
    _answers(monkeypatch, "error: something else")
    lines = outlook(_step(roots), roots, []).lines
    assert lines[0] == "60 iterations; no earlier run to estimate the duration from"
    assert lines[-1] == "preflight returned no result"
    old = write_run(roots.workspace / "runs" / "old", state=RunState.FINISHED, started=time.time() - 9e5)
    assert outlook(_step(roots), roots, [inspect_run(old.path)]).lines[0] == lines[0], "it has no speed"
