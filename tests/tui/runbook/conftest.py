"""A workspace with small steps of its own, and the view of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView, view_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths, find_roots

STEPS = """
[[phase]]
id = "9"
title = { zh = "试验", en = "Trial" }

[[phase.step]]
id = "9.1"
title = { zh = "写文件", en = "Write a file" }
run = 'echo written > made.txt; echo "42 files"'
outputs = ["made.txt"]
checks = [{ type = "exit_code" }, { type = "path_exists", path = "made.txt", kind = "file" }]

[[phase.step]]
id = "9.2"
title = { zh = "等待", en = "Wait" }
run = 'python wait.py'
after = ["9.1"]
long = true
checks = [{ type = "exit_code" }]

[[phase.step]]
id = "9.3"
title = { zh = "失败", en = "Fail" }
run = 'echo "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 938.00 MiB"; exit 3'
checks = [{ type = "exit_code" }]

[[phase.step]]
id = "9.4"
title = { zh = "训练", en = "Train" }
run = 'mkdir -p runs/toy; echo 1 > runs/toy/latest.pth; exit 1'
run_dir = "runs/toy"
resume = "echo resumed"
long = true
checks = [{ type = "exit_code" }]
"""

WAIT = """
import pathlib, signal, sys, time
def save(number, frame):
    print("checkpoint saved", flush=True)
    if not pathlib.Path("stubborn").exists():
        sys.exit(5)
signal.signal(signal.SIGINT, save)
print("waiting", flush=True)
pathlib.Path("began").touch()
while not pathlib.Path("go_on").exists():
    time.sleep(0.02)
print("done", flush=True)
"""


@pytest.fixture
def trial(workspace: Path) -> WorkspacePaths:
    """The demo workspace with a phase 9: quick, waiting, failing, training."""
    (workspace / "runbook.toml").write_text(STEPS, encoding="utf-8")
    (workspace / "wait.py").write_text(WAIT, encoding="utf-8")
    return find_roots(workspace)


@pytest.fixture
def look(trial: WorkspacePaths) -> Callable[[], RunbookView]:
    """The runbook of ``trial`` as it stands."""
    return lambda: view_runbook(load_runbook(trial), StateStore(trial).read(), trial)
