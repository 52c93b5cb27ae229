"""Secrets that are planted wherever users have them reach no file that the product writes, nor its output."""

import logging
import os
import sys
from pathlib import Path

import pytest

from diffbev_engine.core.secrets import MaskedLines
from diffbev_engine.runs.alerts import Alert, AlertKind, append_alerts
from diffbev_engine.runs.failed_start import write_failed_start
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import read_launch, start_detached
from diffbev_engine.runs.lock import sole_writer
from diffbev_engine.runs.manifest import write_manifest
from diffbev_engine.runs.status import RunState, StatusWriter
from diffbev_engine.workspace.workspace import load_workspace
from diffbev_tui.detached_process import start_or_find
from diffbev_tui.places import keep_clip, settings_file
from diffbev_tui.preferences import Preferences, write_preferences
from tests.processes import wait_until

PLANTED = "planted-0123456789"
_PRINTS_ONE = "import os; print(os.environ['TORCH_HUB_TOKEN'])"
STEP = f"""
[[phase]]
id = "9"
title = "t"
[[phase.step]]
id = "9.1"
title = "t"
run = "HF_TOKEN={PLANTED}1 python -c 'print(1)' --api-key {PLANTED}2 https://me:{PLANTED}3@host/; false"
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with secrets in its files and in the environment, and a careless umask."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HUB_TOKEN", f"{PLANTED}4")
    monkeypatch.setenv("NCCL_WEBHOOK", f"{PLANTED}5")
    monkeypatch.setenv("NCCL_PROXY", f"http://me:{PLANTED}6@host")
    folder = tmp_path / "ws"
    folder.mkdir()
    (tmp_path / "nuScenes").mkdir()
    (folder / "runbook.toml").write_text(STEP)
    (folder / "workspace.toml").write_text(
        f'format = 1\nengine = "0"\nnuscenes_root = "{tmp_path}/nuScenes"\ndemo = false\n'
        f'[notify]\nurls = ["ntfy://{PLANTED}7"]\n[files]\n'
    )
    before = os.umask(0)
    monkeypatch.chdir(folder)
    yield folder
    os.umask(before)


def test_planted_secrets_are_nowhere(workspace, program, monkeypatch):
    arguments = ["train", "c", "--set", f"notify.urls=ntfy://{PLANTED}8", f"--api-key={PLANTED}9"]
    shown = [_run_the_step(program, workspace)]
    monkeypatch.setattr("sys.argv", ["diffbev-engine", *arguments])
    folder = RunFolder(workspace / "runs" / "a")
    launch = start_detached(folder, [sys.executable, "-c", _PRINTS_ONE, *arguments])
    wait_until(lambda: read_launch(folder).ended)
    assert launch.command[2:] != tuple(arguments)
    _write_what_a_training_writes(folder)
    load_workspace(workspace).save()
    shown += [program("runs", "show", str(folder.path), "--json")[1], program("runs", "list", workspace)[1]]
    shown.append(program("train", *arguments[1:3], arguments[3], "--work-dir", folder.path)[1])
    console = folder.path / launch.console
    private = [folder.launch, console, workspace / "workspace.toml", *_what_the_ui_writes(workspace)]
    private += (workspace / ".diffbev" / "logs").glob("*.log")
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in private} == {
        path.name: "0o600" for path in private
    }
    assert "HF_TOKEN=***" in shown[0]
    assert PLANTED in console.read_text()
    its_own = {workspace / "runbook.toml", workspace / "workspace.toml", console}
    files = [path for path in workspace.parent.rglob("*") if path.is_file() and path not in its_own]
    assert len(files) > 12
    assert [path for path in files if PLANTED in path.read_text(errors="replace")] == []
    assert [text for text in shown if PLANTED in text] == []


def _run_the_step(program, workspace) -> str:
    said = [program("runbook", "run", workspace, "--step", "9.1", "--anyway")[1]]
    for command in (["status"], ["status", "--json"], ["show", "9.1"], ["show", "--json"]):
        name, *rest = command
        said.append(program("runbook", name, workspace, *rest)[1])
    said.append(program("runbook", "report", workspace)[1])
    return "\n".join(said)


def _write_what_a_training_writes(folder: RunFolder) -> None:
    message = (
        f"cannot reach https://me:{PLANTED}@host with TORCH_HUB_TOKEN={PLANTED}, {os.environ['NCCL_WEBHOOK']}"
    )
    with sole_writer(folder):
        assert PLANTED not in folder.lock.read_text()
        (folder.path / "lock_was.json").write_text(folder.lock.read_text())
    write_manifest(
        folder.manifest, config_path="c", config={}, seed=0, devices=[], world_size=1, resumed_from=None
    )
    write_failed_start(folder, message, 1, "train_1.log")
    StatusWriter(folder.status, 10).update(state=RunState.FAILED, message=message)
    append_alerts(folder.alerts, [Alert(1.0, AlertKind.FAILED, message=message)])
    record = logging.makeLogRecord({"msg": message, "levelname": "ERROR"})
    (folder.path / "train_1.log").write_text(MaskedLines("%(message)s").format(record))


def _what_the_ui_writes(workspace: Path) -> list[Path]:
    log = workspace / ".diffbev" / "tui" / "check.log"
    started = start_or_find([sys.executable, "-c", ""], log, workspace)
    assert started.process is not None
    started.process.wait()
    write_preferences(settings_file(), Preferences(language="en"))
    return [log, log.with_suffix(".json"), keep_clip("copied"), settings_file()]
