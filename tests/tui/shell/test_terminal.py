"""The app in a real terminal, with real signals."""

import os
import re
import shutil
import signal

import pytest

from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.verdict import RunCondition
from tests.workspace.small import SMALL_ENGINE, shrink

STEP = """
[[phase]]
id = "9"
title = { zh = "试", en = "Trial" }
[[phase.step]]
id = "9.1"
title = { zh = "慢", en = "Slow" }
run = "echo begun > begun; while [ ! -e go ]; do sleep 0.1; done; echo ended > ended"
"""

# `diffbev-tui demo` on a small city.
SMALL_DEMO = f"""
import sys
import diffbev_tui.welcome.demo as demo
from diffbev_tui.main import main
demo.engine_command = lambda *arguments: [sys.executable, "-c", {SMALL_ENGINE!r}, *map(str, arguments)]
main()
"""

pytestmark = [
    pytest.mark.slow(45),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_a_step_outlives_the_ui_and_its_terminal_and_is_found_again(how, workspace, terminal):
    (workspace / "runbook.toml").write_text(STEP, encoding="utf-8")
    terminal.open(workspace, "--lang", "en")
    terminal.shows("Next:")
    terminal.keys("/", "9.1", "Enter", "r")  # at once, as one types who knows where to go
    terminal.wait(lambda: (workspace / "begun").exists() or "Run" in terminal.text().split("9.1")[-1])
    if not (workspace / "begun").exists():
        terminal.keys("y")
    terminal.wait((workspace / "begun").exists)

    os.kill(terminal.pid(), how)
    terminal.open(workspace, "--lang", "zh", size=(80, 24))
    terminal.wait(lambda: "9.1" in terminal.text() and "等待" in terminal.text())
    (workspace / "go").touch()
    terminal.wait((workspace / "ended").exists)
    terminal.wait(lambda: "等待 9.1" not in terminal.text())


def test_ctrl_c_leaves_it_open_and_q_closes_it(workspace, terminal):
    terminal.open(workspace, "--lang", "en")
    terminal.shows("Next:")
    terminal.keys("C-c")
    terminal.shows("Ctrl+C does not stop anything")
    terminal.keys("q")
    terminal.wait(lambda: not terminal.text().strip())


MISSING_WEIGHTS = 'model = dict(backbone=dict(pretrained="weights/swin_tiny.pth"))\n'


def test_the_smoke_test_of_the_demo_lives_through_what_happens_to_it(tmp_path, terminal):
    """From the key that starts phase 2 to the passed step: UI killed; training stalled, stopped, resumed."""
    terminal.open("demo", "--out", tmp_path, "--lang", "en", size=(140, 44), code=SMALL_DEMO)
    workspace = tmp_path / "DiffBEV"
    terminal.shows("Next: run 2.1")
    settings = shrink(workspace, "evaluation = dict(interval=300)\n")
    sound = settings.read_text(encoding="utf-8")
    settings.write_text(sound + MISSING_WEIGHTS, encoding="utf-8")
    terminal.keys("p")
    terminal.shows("Run the 6 remaining steps")
    terminal.keys("y")
    terminal.shows("✗ failed  2.4")
    why = r"reason +model\.backbone\.pretrained: there is no file weights/swin_tiny\.pth\. Give the path"
    terminal.wait(lambda: re.search(why, terminal.text()))
    terminal.wait(lambda: terminal.text().count("✗ 2.4 failed: ") == 1)
    settings.write_text(sound, encoding="utf-8")
    terminal.shows("3 stale")
    terminal.keys("p")
    terminal.shows("Run the 6 remaining steps")
    terminal.keys("y")
    run = workspace / "runs" / "baseline_smoke"
    terminal.wait(lambda: inspect_run(run).state is RunCondition.RUNNING)
    training = inspect_run(run).process

    os.kill(terminal.pid(), signal.SIGKILL)
    terminal.open(workspace, "--lang", "zh", size=(80, 24))
    terminal.shows("等待 2.4")
    assert inspect_run(run).process == training
    terminal.close()  # the terminal is gone: SIGHUP

    terminal.open(workspace, "--lang", "en", size=(140, 44))
    terminal.shows("training baseline_smoke")
    os.kill(training.pid, signal.SIGSTOP)
    for key in "12345678":  # whatever is shown, the line above tells
        terminal.keys(key)
        terminal.shows("! stalled")
    terminal.keys("!")
    terminal.shows("baseline_smoke: stalled at iteration")
    terminal.keys("Escape")
    os.kill(training.pid, signal.SIGCONT)
    terminal.shows("training baseline_smoke")

    terminal.keys("2")
    terminal.shows("Lwce")
    terminal.keys("S")
    terminal.shows("Stop baseline_smoke?")
    terminal.keys("y")
    terminal.wait(lambda: inspect_run(run).state is RunCondition.INTERRUPTED)
    terminal.shows("interrupted at iteration")
    terminal.shows("○ interrupted baseline_smoke")
    terminal.keys("R")
    terminal.shows("Resume baseline_smoke?")
    terminal.keys("y")
    terminal.wait(lambda: inspect_run(run).state is RunCondition.FINISHED)
    terminal.shows("✓ finished  300/300")
    assert re.search("loss .*A 0[.][0-9]+", terminal.text())
    assert re.search("[\u2801-\u28ff]{3}", terminal.text())  # a curve
    terminal.keys("1")
    terminal.shows("✓ passed  2.4")
